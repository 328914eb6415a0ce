"""An answer at work: it reads its arguments and does not write into them, and does without what would answer for it."""

import contextlib
import functools
import importlib
import sys
import traceback

from .gradcheck.calls import MessageAlone, read_only

ALWAYS = ("minidiff.gradcheck.jvp", "minidiff.gradcheck.numerical_grad")  # derivatives are what students are to write


class WrongAnswer(MessageAlone):
    """An answer that is not the right one; the message says what is probably wrong with it."""


def guarded(f, without=(), name=None):
    """f, with its array arguments read-only while it runs, and with some functions taken away from it.

    f: a function, else WrongAnswer   without: names as for `taken_away`   name: of the function, for the message

    An f that writes into an array it is given, or calls what is taken away, raises WrongAnswer with that reason. A function
    that f returns is guarded as well: the backward pass does without the same functions.
    """
    name = name or getattr(f, "__name__", "the answer")
    if not callable(f):
        kind = type(f).__name__
        kind = "None" if f is None else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        raise WrongAnswer(f"{name} is {kind}, expected a function")
    if hasattr(f, "guarded"):
        return f

    @functools.wraps(f, assigned=("__name__", "__doc__"), updated=())
    def reading(*args, **options):
        with (
            _read_only([*args, *options.values()], name),
            taken_away(name, without, getattr(f, "__globals__", None)),
            _sentence_first(name),
        ):
            got = f(*args, **options)
        if without and isinstance(got, tuple):
            return tuple(_without(part, name, without) for part in got)
        return got

    reading.guarded = f
    return reading


def _without(part, name, names):
    """A backward pass that does without the same functions; anything else as it is."""
    if not hasattr(part, "__globals__"):
        return part

    @functools.wraps(part)
    def carried_back(*args, **options):
        with taken_away(name, names, part.__globals__), _sentence_first(f"{name}: {part.__name__}"):
            return part(*args, **options)

    return carried_back


@contextlib.contextmanager
def _read_only(values, name):
    try:
        with read_only(list(_within(values))):
            yield
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        wrong = WrongAnswer(f"{name} writes into an array that it is given; it should make a new one")
        wrong.line = getattr(error, "line", "")
        raise wrong from error


@contextlib.contextmanager
def _sentence_first(name):
    """In Jupyter an exception of the answer is shown as one sentence, then the lines of the answer; its type stays."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, "_render_traceback_"):
            frames = traceback.extract_tb(error.__traceback__)
            inner = max(number for number, frame in enumerate(frames) if frame.filename == __file__)
            sentence = f"{name} raises {type(error).__name__}: {error}"
            error._render_traceback_ = lambda: [sentence, "", *traceback.format_list(frames[inner + 1 :])]
        raise


def _within(values):
    """What lists, tuples and dicts hold, at any depth."""
    for value in values:
        if isinstance(value, (list, tuple, dict)):
            yield from _within(value.values() if isinstance(value, dict) else value)
        else:
            yield value


@contextlib.contextmanager
def taken_away(exercise, names, own=None):
    """Inside, calling one of these functions raises WrongAnswer, under whatever name the package or `own` knows it.

    names: "minidiff.ops.softmax", "minidiff.diffusion.Schedule.log_snr" (a method), "minidiff.ops.*" (all public functions),
    or "gather", a name of the chapter's, in `own`   own: {name: value} of the chapter and the answer
    """
    with replaced(refusals(exercise, names, own)):
        yield


def refusals(exercise, names, own=None):
    """What `taken_away` replaces, for a caller that takes the same functions away many times.

    -> [(setter, namespace or class, key, the function that raises WrongAnswer)], for `replaced`
    """
    own = {} if own is None else own
    instead, found = {}, []
    for name in (*names, *ALWAYS) if names else ():
        for label, holder, key in resolve(name, own):
            refused = _refusal(exercise, label)
            if isinstance(holder, dict):
                instead[id(holder[key])] = refused
            else:
                found.append((setattr, holder, key, refused))
    for place in [*_modules(), own] if instead else ():
        for key, value in list(place.items()):
            if id(value) in instead:
                found.append((dict.__setitem__, place, key, instead[id(value)]))
    return found


@contextlib.contextmanager
def replaced(changes):
    """Inside, each key of a namespace or class has the value given here.   changes: as `refusals` returns them"""
    undo = []
    try:
        for put, place, key, value in changes:
            undo.append((put, place, key, place[key] if isinstance(place, dict) else vars(place)[key]))
            put(place, key, value)
        yield
    finally:
        for put_back, place, key, value in reversed(undo):
            put_back(place, key, value)


def _modules():
    """The namespaces of the package, in which one function may have several names."""
    return [vars(module) for key, module in list(sys.modules.items()) if key.partition(".")[0] == "minidiff" and module]


def resolve(name, own):
    """-> [(its name for the reader, the namespace or class it is in, its key there)]; nothing where the chapter lacks it"""
    if "." not in name:
        return [(name, own, name)] if name in own else []
    parts = name.split(".")
    module = importlib.import_module(".".join(parts[:2]))
    if parts[2] == "*":
        public = [key for key, value in vars(module).items() if callable(value) and key in module.__all__]
        return [(f"{parts[1]}.{key}", vars(module), key) for key in public]
    if len(parts) == 4:
        label, file = ".".join(parts[2:]), sys.modules.get(".".join(parts[:3]))  # a file, though a function has its name
        return [(label, vars(file) if file else getattr(module, parts[2]), parts[3])]
    return [(".".join(parts[1:]), vars(module), parts[2])]


def _refusal(exercise, label):
    def refused(*_, **__):
        raise WrongAnswer(f"{exercise} calls {label}, which does the work of the exercise; write it without")

    return refused
