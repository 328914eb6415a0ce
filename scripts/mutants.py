"""Mutation testing: change one token of a room at a time and see whether the room's tests fail. Needs '.[test,mutants]'.

    python scripts/mutants.py                      a sample of 400 mutants over all rooms
    python scripts/mutants.py ops nn               those of the sample that fall into these rooms
    python scripts/mutants.py --sample 100 --seed 0
    python scripts/mutants.py --again              run the survivors once more, after new tests

cosmic-ray makes the mutants and keeps the results, in build/mutants; a run that was stopped resumes there. Tests run in a
temporary copy of the tree. A room is run once on healthy code, to record which test reaches which line; a mutant is then given
the tests that reach it, the fastest first, and a limit of 10 seconds plus three times what these take on healthy code. The
exit code is 1 if a mutant survived that tests/mutants/equivalent.toml does not list.

The sample is drawn by a hash of seed, file, line and mutation: an edit elsewhere leaves it as it is. A room's part of it is
proportional to the number of its mutants. Not drawn are mutants without a meaning:
- inside an annotation, an f-string (message texts, number formats) or the arguments of `raise`;
- the * and / of a signature, and mutants that do not compile;
- + - * / // % ** to or from a bit operation, ~ and the comparison `is` in place of == or <: on arrays and floats these fail at
  once whatever the tests, and on small integers `is` equals ==.
Docstrings, comments, `__all__` and version strings contain no token that cosmic-ray changes.
"""

import argparse
import difflib
import functools
import hashlib
import json
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import mutant_runs as runs
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = ROOT / "tests" / "mutants" / "equivalent.toml"

# The tests of a room: its folder, and what of the other folders is written for it.
ROOMS = {
    # the checker's own tests run on ops; on the emulator of CuPy the plain ops run without a fast version in their way;
    # the oracles contain torch's values for attention, norms and timestep embeddings
    "ops": [
        "tests/ops",
        "tests/nn",
        "tests/oracles",
        "tests/test_complex_step.py",
        "tests/test_gradcheck.py",
        "tests/strict/test_gradients.py",
    ],
    # test_gradients.py checks layers beside ops; the oracles are torch's values for attention and transformer blocks
    "nn": ["tests/nn", "tests/ops/test_gradients.py", "tests/oracles", "tests/models/test_gradients_of_options.py"],
    # every_gradient checks losses and denoisers; the rest of tests/strict and tests/gpu compares the code on the emulators with
    # itself, so of those only the files are here that belong to the parts of a room which run only there
    "diffusion": ["tests/diffusion", "tests/test_every_gradient.py"],
    "samplers": ["tests/samplers", "tests/strict/test_on_strict_cupy.py", "tests/gpu/test_sampling_step.py"],
    "training": [
        "tests/training",
        "tests/test_every_gradient.py",
        "tests/strict/test_on_strict_cupy.py",
        "tests/gpu/test_training_step.py",
    ],
}

BITS = {"RShift", "LShift", "BitOr", "BitAnd", "BitXor", "Invert"}


def operators():
    """{name: operator} of cosmic-ray's that change one token and are not excluded above."""
    kept = {}
    for name in plugins.operator_names():
        kind, *pair = name.split("/")[1].split("_")
        mixed = "Binary" in kind and any(word in BITS for word in pair)
        made_is = "Comparison" in kind and "Is" in pair[-1] and "Is" not in pair[0]
        operator = plugins.get_operator(name)
        if not (mixed or made_is or pair[-1:] == ["Invert"] or operator.arguments() or "NoOp" in kind):
            kept[name] = operator()
    return kept


def meaningless(node):
    """Whether a token stands where a change of it has no meaning."""
    child, node = node, node.parent
    while node is not None:
        if node.type in ("fstring", "raise_stmt", "tfpdef"):  # tfpdef: an argument with its annotation
            return True
        if node.type in ("parameters", "lambdef") and child.type == "operator":
            return True
        if (node.type == "annassign" and child is node.children[1]) or (node.type == "funcdef" and child is node.annotation):
            return True
        child, node = node, node.parent
    return False


@functools.cache
def source(file):
    """The text of a file when it was read first: an edit during a run does not change the mutants."""
    return (ROOT / file).read_text(encoding="utf-8")


def population(file, seed):
    """All mutants of a file, each with its place in the draw.   -> [(rank, MutationSpec)]"""
    nodes, rows, found, seen = list(ast_nodes(get_ast(source(file)))), source(file).splitlines(), [], {}
    for name, operator in operators().items():
        places = ((node, place) for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (node, (start, stop)) in enumerate(places):
            key = f"{seed}|{file}|{rows[start[0] - 1].strip()}|{name}"
            seen[key] = seen.get(key, -1) + 1
            if start < stop and not meaningless(node):
                rank = hashlib.sha256(f"{key}|{seen[key]}".encode()).hexdigest()
                found.append((rank, MutationSpec(file, name, occurrence, start, stop)))
    return found


def mutated(spec):
    """(healthy, mutated) text of a file, or None in place of the second where it does not compile or is the same."""
    healthy = source(str(spec.module_path))
    text = mutate_code(healthy, plugins.get_operator(spec.operator_name)(), spec.occurrence)
    try:
        compile(text, str(spec.module_path), "exec")
    except SyntaxError:
        text = None
    return healthy, None if text == healthy else text


def change(healthy, text):
    """(old, new): the lines that a mutation removes and adds, without their indentation."""
    lines = list(difflib.unified_diff(healthy.splitlines(), text.splitlines(), lineterm="", n=0))[2:]
    return tuple("\n".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")


def draw(rooms, n, seed):
    """{room: (size, [WorkItem])} for the rooms asked for: a stratified sample of n mutants over all of ROOMS; 0 is all."""
    everything = {room: [] for room in ROOMS}
    for room in ROOMS:
        for path in sorted((ROOT / "minidiff" / room).rglob("*.py")):
            everything[room] += population(str(path.relative_to(ROOT)), seed)
    total, sample = sum(map(len, everything.values())), {}
    for room in rooms:
        items, size = [], len(everything[room])
        share = round(n * size / total) if n else size
        for rank, spec in sorted(everything[room], key=lambda pair: pair[0]):
            if len(items) == share:
                break
            healthy, text = mutated(spec)
            if text is not None:
                state = hashlib.sha256(healthy.encode()).hexdigest()[:8]  # a file that changed is run again
                items.append(WorkItem.single(f"{rank[:24]}{state}", spec))
        sample[room] = size, items
    return sample


def limit_of(reach, tests):
    """CPU seconds that a mutant gets: on healthy code these tests take less than a third of them."""
    return 10 + 3 * sum(reach["seconds"][test] for test in tests)


def healthy(copy, log, limit, work):
    """Run tests on code without a mutant; exits with their output unless they pass."""
    codes = []
    pid = runs.fork(copy, log, limit, work)
    runs.watch({pid: (time.monotonic() + 3600,)}, lambda pid, code: codes.append(code))
    if codes != [0]:
        sys.exit(f"pytest ended with {codes[0]} on healthy code:\n{log.read_text()[-3000:]}")


def recorded(room, session):
    """Which test of the room reaches which line: read from the session, or recorded where package or tests have changed."""
    tests, digest = [test for test in ROOMS[room] if (ROOT / test).exists()], hashlib.sha256()
    for place in ("minidiff", *tests):
        for path in sorted((ROOT / place).rglob("*.py")) or [ROOT / place]:
            digest.update(path.read_bytes())
    out = session / f"reach_{room}_{digest.hexdigest()[:16]}.json"
    if not out.exists():
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            copy, log, part = runs.Copy(ROOT, folder).folder, session / f"reach_{room}.log", out.with_suffix(".part")
            print(f"{room}: its tests run twice on healthy code, in their order and the fastest first", flush=True)
            healthy(copy, log, None, lambda: runs.record(copy, f"minidiff/{room}", tests, part))
            reach = json.loads(part.read_text())
            order = sorted(reach["seconds"], key=reach["seconds"].get)
            healthy(copy, log, limit_of(reach, order), lambda: runs.run_chosen(order))
            part.rename(out)
    return json.loads(out.read_text())


def judge(code, log):
    """What a test run says about its mutant.   code: pytest's exit code, or None for a process that was killed"""
    text = log.read_text(errors="replace")
    by = [line for line in text.splitlines() if line.startswith("killed by ")]
    if code is None or code in (-24, -9):  # SIGXCPU, SIGKILL: the limit
        return WorkResult(WorkerOutcome.NORMAL, "timeout", TestOutcome.KILLED)
    if code in (0, 5):
        return WorkResult(WorkerOutcome.NORMAL, "survived", TestOutcome.SURVIVED)
    if code == 70:
        return WorkResult(WorkerOutcome.EXCEPTION, text[-1000:], TestOutcome.INCOMPETENT)
    how = by[0] if by else f"killed before a test could: pytest ended with {code}"
    return WorkResult(WorkerOutcome.NORMAL, how, TestOutcome.KILLED)


def execute(db, work, reaches, jobs):
    """Run the mutants of `work` [(room, item)], `jobs` at a time, and store each result."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        free = [(runs.Copy(ROOT, Path(folder) / str(i)), Path(folder) / f"{i}.log") for i in range(jobs)]
        waiting, running = list(reversed(work)), {}

        def done(pid, code):
            _, item, copy, log, diff, start = running.pop(pid)
            copy.restore()
            free.append((copy, log))
            result = judge(code, log)
            store(item, WorkResult(result.worker_outcome, result.output, result.test_outcome, diff), start)

        def store(item, result, start):
            db.set_result(item.job_id, result)
            spec = item.mutations[0]
            took = f"{time.monotonic() - start:5.1f} s"
            print(f"{took}  {spec.module_path}:{spec.start_pos[0]}  {result.output.splitlines()[0]}", flush=True)

        while waiting or running:
            while waiting and free:
                room, item = waiting.pop()
                spec, start = item.mutations[0], time.monotonic()
                healthy, text = mutated(spec)
                diff = "\n".join(change(healthy, text))
                tests = runs.tests_of(reaches[room], str(spec.module_path), healthy, spec.start_pos[0])
                if not tests:
                    result = WorkResult(WorkerOutcome.NO_TEST, "survived: no test reaches its file", TestOutcome.SURVIVED, diff)
                    store(item, result, start)
                    continue
                copy, log = free.pop()
                copy.write(spec.module_path, text)
                limit = limit_of(reaches[room], tests)
                pid = runs.fork(copy.folder, log, limit, lambda tests=tests: runs.run_chosen(tests))
                running[pid] = time.monotonic() + 4 * limit + 30, item, copy, log, diff, start
            if running:
                runs.watch(running, done)


def report(db, sample):
    """Print killed and survived of each room and a diff of each survivor.   -> how many survivors are not listed"""
    listed = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("mutant", []) if EQUIVALENT.exists() else []
    reasons = {(row["file"], row["old"], row["new"]): row["why"] for row in listed}
    results, alive, total, dead = dict(db.results), 0, 0, 0
    for room, (size, items) in sample.items():
        run = [(item.mutations[0], results[item.job_id]) for item in items if item.job_id in results]
        killed = [result for _, result in run if result.test_outcome == TestOutcome.KILLED]
        slow = sum(result.output == "timeout" for result in killed)
        equivalent = 0
        for spec, result in run:
            if result.test_outcome == TestOutcome.KILLED:
                continue
            old, new = change(*mutated(spec))
            why = reasons.get((str(spec.module_path), old, new))
            equivalent += why is not None
            print(f"\n{spec.module_path}:{spec.start_pos[0]}  {spec.operator_name}  {result.output}\n  - {old}\n  + {new}")
            print(f"  equivalent: {why}" if why else "  ALIVE")
        alive += len(run) - len(killed) - equivalent
        total, dead = total + len(run), dead + len(killed)
        print(f"\n{room}: {len(run)} of {size} mutants run, {len(killed)} killed ({slow} by the time limit), "
              f"{len(run) - len(killed)} survived, {equivalent} of them listed as equivalent")  # fmt: skip
    print(f"\n{dead} of {total} mutants killed ({100 * dead / max(total, 1):.1f} %), {alive} alive and not listed")
    return alive


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"only these rooms, of {', '.join(ROOMS)}")
    parser.add_argument("--sample", type=int, default=400, metavar="N", help="mutants over all rooms; 0 is all [400]")
    parser.add_argument("--seed", type=int, default=17, metavar="S", help="seed of the draw [17]")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="mutants at a time [1]")
    parser.add_argument("--again", action="store_true", help="run the survivors of this session once more")
    parser.add_argument("--list", action="store_true", help="print the results of this session; run nothing")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.rooms) - set(ROOMS):
        parser.error(f"ROOM: got {', '.join(sorted(unknown))}, expected some of {', '.join(ROOMS)}")
    rooms, session = arguments.rooms or list(ROOMS), ROOT / "build" / "mutants"
    session.mkdir(parents=True, exist_ok=True)
    sample = draw(rooms, arguments.sample, arguments.seed)
    with use_db(str(session / f"seed_{arguments.seed}.sqlite"), WorkDB.Mode.create) as db:
        known, results = {item.job_id for item in db.work_items}, dict(db.results)
        db.add_work_items(item for _, items in sample.values() for item in items if item.job_id not in known)
        work = []
        for room, (_, items) in sample.items():
            for item in items:
                result = results.get(item.job_id)
                if result is None or (arguments.again and result.test_outcome != TestOutcome.KILLED):
                    work.append((room, item))
        if work and not arguments.list:
            execute(db, work, {room: recorded(room, session) for room in dict(work)}, arguments.jobs)
        return 1 if report(db, sample) else 0


if __name__ == "__main__":
    sys.exit(main())
