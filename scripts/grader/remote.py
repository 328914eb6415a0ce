"""Calls and values between the process of the tests and that of the answer, which must not be trusted: no pickle, no code.

Numbers, strings, lists, tuples, dicts, sets and arrays go over by value. An array keeps its identity: what one side writes
into it, the other side sees after the next message. Anything else stays where it is, and the other side gets a `Remote`,
which asks for what is done with it. What both processes had before they parted (the chapter's models, say) is the same on
both sides and goes over as a number.
"""

import builtins
import json
import struct
import types
import weakref

import numpy as np

LIMIT = 64 * 2**20  # bytes in one message
READ = ("__len__", "__getitem__", "__iter__", "__next__", "__float__", "__int__", "__index__", "__bool__", "__array__")
ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
COMPUTE = (
    *(f"__{name}__" for name in ARITHMETIC), *(f"__r{name}__" for name in ARITHMETIC), "__neg__", "__pos__", "__abs__",
    "__lt__", "__le__", "__gt__", "__ge__", "__contains__", "__setitem__",
)  # fmt: skip
CODE = (  # may be called from the other side, and nothing else: their attributes lead to everything
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.ModuleType, types.GeneratorType, types.FrameType,
    types.CodeType, types.TracebackType, type,
)  # fmt: skip


class Ended(Exception):
    """The other process is no longer there."""


class Shared:
    """The objects that both processes had before they parted, numbered: the same number on both sides."""

    def __init__(self, objects):
        self.objects = list(objects)
        self.numbers = {id(thing): number for number, thing in enumerate(self.objects)}


class Peer:
    """One end of the connection.

    sock: a connected stream socket   shared: Shared
    trusting: whether the other side may compute with this side's objects through its `Remote`s, as well as read and call
    them. The tests' side takes no arithmetic and no comparison from the answer: `==` would let the answer decide.
    """

    def __init__(self, sock, shared, trusting):
        self.sock, self.shared, self.numbers = sock, shared.objects, shared.numbers
        self.methods = READ + COMPUTE if trusting else READ  # that a Remote of the other side's objects has here
        self.exported, self.arrays, self.sent = {}, {}, {}
        self.keys, self.classes, self.side = {}, {}, "tests" if not trusting else "answer"
        self.made, self.gone = 0, []  # arrays that went over; keys of those that this side has freed

    # ---- talking ---------------------------------------------------------------------------------------------------------

    def ask(self, what, *payload):
        """Send a request, serve what the other side asks meanwhile, and return its answer or raise its exception."""
        self.send(what, payload)
        while True:
            what, payload = self.receive()
            if what == "return":
                return payload[0]
            if what == "raise":
                raise exception(*payload)
            self.answer(what, payload)

    def serve(self):
        """Answer requests until the other side ends."""
        while True:
            try:
                request = self.receive()
            except Ended:
                return
            self.answer(*request)

    def answer(self, what, payload):
        try:
            if payload and not self.is_open(payload[0]):
                raise TypeError(f"{type(payload[0]).__name__}: only what the tests pass may be used")
            self.send("return", (getattr(self, "do_" + what)(*payload),))
        except Ended:
            raise
        except BaseException as error:
            self.send("raise", (type(error).__name__, str(error)[:4000], self.line_of(error)))

    def line_of(self, error):
        """The line that an exception came from, where a side can tell."""
        return getattr(error, "line", "")

    def context(self):
        """What the other side needs to know for a call."""
        return ()

    # ---- what may be asked -----------------------------------------------------------------------------------------------

    def is_open(self, thing):
        """Whether the other side may use this: what it was given, and nothing else."""
        return self.exported.get(id(thing)) is thing

    def do_call(self, thing, args, options, context):
        return thing(*args, **options)

    def do_attribute(self, thing, name):
        if name.startswith("_") or isinstance(thing, CODE):
            raise AttributeError(f"{type(thing).__name__} has no {name}")
        return getattr(thing, name)

    def do_method(self, thing, name, args):
        if name not in READ + COMPUTE:
            raise AttributeError(name)
        if name == "__array__":
            return np.asarray(thing)
        return getattr(type(thing), name)(thing, *args)

    # ---- messages --------------------------------------------------------------------------------------------------------

    def send(self, what, payload):
        buffers = []
        payload = [self.pack(value, buffers, 0) for value in payload]
        held = {key: reference() for key, reference in list(self.arrays.items())}  # none of them ends meanwhile
        changed = [self.update(key, buffers) for key, array in held.items() if array is not None and self.is_changed(key)]
        gone, self.gone = self.gone, []
        head = json.dumps([what, payload, changed, gone, [len(b) for b in buffers]]).encode()
        if len(head) + sum(map(len, buffers)) > LIMIT:
            raise ValueError(f"a value of more than {LIMIT >> 20} MB")
        try:
            self.sock.sendall(struct.pack("<Q", len(head)) + head + b"".join(buffers))
        except OSError:
            raise Ended from None

    def receive(self):
        (size,) = struct.unpack("<Q", self.read(8))
        if size > LIMIT:
            raise Ended(f"a message of more than {LIMIT >> 20} MB")
        what, payload, changed, gone, sizes = json.loads(self.read(size))
        if sum(sizes) > LIMIT:
            raise Ended(f"a message of more than {LIMIT >> 20} MB")
        buffers = [self.read(n) for n in sizes]
        for key in gone:
            self.forget(key)
        for key, writeable, number in changed:
            if key in self.arrays:
                self.write(key, buffers[number], writeable)
        return what, [self.unpack(value, buffers) for value in payload]

    def read(self, count):
        parts = []
        while count:
            try:
                part = self.sock.recv(min(count, 2**20))
            except OSError:
                part = b""
            if not part:
                raise Ended
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    # ---- values ----------------------------------------------------------------------------------------------------------

    def pack(self, value, buffers, depth):
        """JSON for a value; the bytes of arrays are appended to buffers."""
        if depth > 50:
            raise ValueError("a value of more than 50 levels")
        many = [self.pack(v, buffers, depth + 1) for v in value] if isinstance(value, list | tuple | set | frozenset) else None
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, np.generic) and value.dtype.kind in "biufc":
            buffers.append(value.tobytes())
            return ["scalar", value.dtype.str, len(buffers) - 1]
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, complex):
            return ["complex", value.real, value.imag]
        if isinstance(value, str):
            return ["str", str(value)]
        if isinstance(value, dict):
            return ["dict", [[self.pack(k, buffers, depth + 1), self.pack(v, buffers, depth + 1)] for k, v in value.items()]]
        if many is not None:
            kind = next(kind for kind in (list, tuple, set, frozenset) if isinstance(value, kind))
            return [kind.__name__, many]
        if isinstance(value, slice):
            return ["slice", [self.pack(v, buffers, depth + 1) for v in (value.start, value.stop, value.step)]]
        if value is Ellipsis:
            return ["ellipsis"]
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufcU":
            return self.pack_array(value, buffers)
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
            return ["dtype", np.dtype(value).str, isinstance(value, type)]
        if isinstance(value, np.random.Generator) and isinstance(value.bit_generator, np.random.PCG64):
            return ["generator", json.dumps(value.bit_generator.state)]
        if isinstance(value, Remote):
            return ["yours", object.__getattribute__(value, "_number")]
        if id(value) in self.numbers:
            return ["shared", self.numbers[id(value)]]
        self.exported[id(value)] = value
        has = [name for name in READ + COMPUTE if hasattr(type(value), name)]
        name = getattr(value, "__name__", "")
        return ["mine", id(value), type(value).__name__, has, callable(value), name if isinstance(name, str) else ""]

    def unpack(self, value, buffers):
        if not isinstance(value, list):
            return value
        kind, *rest = value
        if kind in ("list", "tuple", "set", "frozenset"):
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](
                self.unpack(v, buffers) for v in rest[0]
            )
        return getattr(self, "unpack_" + kind)(buffers, *rest)

    def unpack_str(self, buffers, text):
        return str(text)

    def unpack_complex(self, buffers, real, imag):
        return complex(real, imag)

    def unpack_dict(self, buffers, pairs):
        return {self.unpack(k, buffers): self.unpack(v, buffers) for k, v in pairs}

    def unpack_slice(self, buffers, ends):
        return slice(*(self.unpack(v, buffers) for v in ends))

    def unpack_ellipsis(self, buffers):
        return ...

    def unpack_dtype(self, buffers, name, is_type):
        dtype = np.dtype(name)
        return dtype.type if is_type else dtype

    def unpack_scalar(self, buffers, dtype, number):
        return np.frombuffer(buffers[number], np.dtype(dtype))[0]

    def unpack_generator(self, buffers, state):
        made = np.random.Generator(np.random.PCG64())
        made.bit_generator.state = json.loads(state)
        return made

    def unpack_yours(self, buffers, number):
        return self.exported[number]

    def unpack_shared(self, buffers, number):
        return self.shared[number]

    def unpack_mine(self, buffers, number, kind, has, is_callable, name):
        methods = tuple(sorted(set(has) & set(self.methods)))
        key = (kind, methods, is_callable)
        if key not in self.classes:
            self.classes[key] = remote_class(kind, methods, is_callable)
        made = self.classes[key]()
        made.__dict__.update(_peer=self, _number=number)
        if name:
            made.__dict__["__name__"] = name
        return made

    # ---- arrays ----------------------------------------------------------------------------------------------------------

    def pack_array(self, array, buffers):
        key = self.keys.get(id(array))
        if key is None:
            key, self.made = f"{self.side}-{self.made}", self.made + 1
            self.hold(key, array)
        return ["array", array.dtype.str, list(array.shape), *self.update(key, buffers)]

    def hold(self, key, array):
        """Keep an array equal on both sides for as long as code on this side refers to it."""
        number = id(array)
        self.keys[number] = key
        self.arrays[key] = weakref.ref(array, lambda _: (self.forget(key, number), self.gone.append(key)))

    def forget(self, key, number=None):
        """Stop following an array, because one of the two sides has freed it. Sent again, it gets a new key."""
        reference = self.arrays.pop(key, None)
        self.sent.pop(key, None)
        if reference is not None and number is None:
            number = id(reference())
        if self.keys.get(number) == key:
            del self.keys[number]

    def update(self, key, buffers):
        """What the other side needs to make its copy of an array equal to this side's."""
        array = self.arrays[key]()
        content, writeable = self.sent[key] = array.tobytes(), bool(array.flags.writeable)
        buffers.append(content)
        return [key, writeable, len(buffers) - 1]

    def is_changed(self, key):
        array = self.arrays[key]()
        content, writeable = self.sent[key]
        return array.flags.writeable != writeable or (writeable and array.tobytes() != content)

    def unpack_array(self, buffers, dtype, shape, key, writeable, number):
        if key not in self.arrays:
            dtype = np.dtype(dtype)
            if dtype.kind not in "biufcU":
                raise TypeError(f"an array of {dtype}")
            array = np.frombuffer(buffers[number], dtype).reshape(shape).copy()
            self.hold(key, array)
            self.sent[key] = buffers[number], True
        array = self.arrays[key]()
        self.write(key, buffers[number], writeable)
        return array

    def write(self, key, content, writeable):
        """Take over what the other side has in an array. The answer cannot write into an array that is read-only here."""
        array = self.arrays[key]()
        mine = key.startswith(self.side)
        if array.tobytes() != content:
            if not mine:
                array.flags.writeable = True
            array[...] = np.frombuffer(content, array.dtype).reshape(array.shape)
        if not mine:
            array.flags.writeable = writeable
        self.sent[key] = content, bool(array.flags.writeable)


class Remote:
    """Something that stays in the other process."""

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self._peer.ask("attribute", self, name)

    def __repr__(self):
        return f"<a {type(self).__name__} of the other process>"


def remote_class(kind, methods, is_callable):
    """The class of Remotes with these special methods; its name is that of the thing itself, for messages."""
    body = {name: _forward(name) for name in methods if name != "__array__"}
    if is_callable:
        body["__call__"] = lambda self, *args, **options: self._peer.ask("call", self, args, options, self._peer.context())
    if "__array__" in methods:
        body["__array__"] = lambda self, dtype=None, copy=None: np.asarray(
            self._peer.ask("method", self, "__array__", ()), dtype
        )
    return type(kind, (Remote,), body)


def _forward(name):
    def method(self, *args):
        return self._peer.ask("method", self, name, args)

    return method


def exception(name, text, line):
    """An exception of the other process, as one of this process: a built-in one where there is one of that name."""
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = type(name, (Exception,), {})
    try:
        error = kind(text)
    except TypeError:  # UnicodeDecodeError and its like want more arguments
        error = type(name, (Exception,), {})(text)
    error.line = line
    return error
