# %% [markdown]
# # 11. Text to image
#
# Chapter 10 asked for a digit by its class label: one number out of ten. A caption is harder. It has several words, in an order
# that matters, and no training set contains all captions. How does a denoiser learn to follow a sentence? We build all the
# parts by hand on a toy problem that trains in seconds. The main part is **cross-attention**, forward and backward. (Chapter 12
# takes real, if small, text-to-image systems apart.)
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A function returns its backward pass, `y, back = f(x)` (chapter 1). A denoiser may predict
# $v$ (chapter 4), and DDIM samples with it (chapter 8). Classifier-free guidance with weight $w$ is
# $(1 + w)\,\hat\epsilon(c) - w\,\hat\epsilon(\text{nothing})$, where $\hat\epsilon$ is the predicted noise and $c$ the
# condition (chapter 10).

# %%
import os

import numpy as np

from minidiff import gradcheck, grading, mistakes, models, nn, ops, sample, training, viz
from minidiff.data import tokenizer
from minidiff.diffusion import Denoiser, Schedule, SimpleLoss, cfg
from minidiff.models.clip import unit_vectors
from minidiff.rng import Rng, as_rng
from minidiff.training.losses.contrastive import contrastive_loss

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
schedule = Schedule.cosine(1000)

# %% [markdown]
# ## The data: images of three dots
#
# Every image has three dots, a red, a green and a blue one. Six numbers describe it, the two coordinates of each dot. A caption
# has three words: *red above blue*, *green left-of red*. There are 24 captions. Training uses 21 of them and never shows the
# three held-out ones.

# %%
WORDS = ("nothing", "red", "green", "blue", "above", "below", "left-of", "right-of")
CAPTIONS = np.array([(a, r, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b for r in (4, 5, 6, 7)])
HELD_OUT = np.array([(1, 4, 2), (2, 7, 3), (3, 6, 1)])  # red above green, green right-of blue, blue left-of red
SHOWN = np.array([caption for caption in CAPTIONS if not (caption == HELD_OUT).all(axis=1).any()])


def text(caption):
    return " ".join(WORDS[word] for word in caption)


def lead(dots, captions):
    """How far the first dot is ahead of the second, in the direction that the caption names.   (B, 6), (B, 3) -> (B,)"""
    rows, places = np.arange(len(dots)), dots.reshape(-1, 3, 2)
    first, second = places[rows, captions[:, 0] - 1], places[rows, captions[:, 2] - 1]
    axis = np.where(captions[:, 1] < 6, 1, 0)  # above and below: y
    return (first - second)[rows, axis] * np.where(np.isin(captions[:, 1], (4, 7)), 1, -1)


def obeyed(dots, captions):
    return lead(dots, captions) > 0.3


def draw_world(captions, rng):
    """An image for each caption, random in everything else.   -> (B, 6) in [-1, 1]"""
    dots = rng.uniform(-1, 1, (len(captions), 6)).astype(np.float32)
    while len(wrong := np.flatnonzero(lead(dots, captions) < 0.5)):
        dots[wrong] = rng.uniform(-1, 1, (len(wrong), 6))
    return dots


rng = np.random.default_rng(0)
captions = SHOWN[rng.integers(len(SHOWN), size=12_000)]
pictures = draw_world(captions, rng)
assert obeyed(pictures, captions).all()
by_chance = obeyed(rng.permutation(pictures), captions).mean()
print(f"{len(SHOWN)} captions in training; an image obeys another image's caption in {by_chance:.0%} of cases")


def show_dots(batch, titles, columns, rows=()):
    figure = viz.new_figure(1.55 * columns, 1.8 * -(-len(batch) // columns), "tight")
    for number, (dots, caption) in enumerate(zip(batch, titles, strict=True)):
        axes = figure.add_subplot(-(-len(batch) // columns), columns, number + 1)
        axes.scatter(*dots.reshape(3, 2).T, s=90, c=[viz.COLOURS[6], viz.COLOURS[2], viz.COLOURS[0]])
        axes.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), aspect="equal", xticks=[], yticks=[])
        axes.set_title(caption, fontsize=9)
        if rows and number % columns == 0:
            axes.set_ylabel(rows[number // columns], fontsize=10)
    return figure


show_dots(pictures[:12], [text(caption) for caption in captions[:12]], 6)

# %% [markdown]
# ## From words to vectors
#
# Each word gets a row of a table, a vector of 32 numbers that is learned like any weight (an *embedding*). So does each
# position in the sentence, and the two are added. A caption is then three vectors, its *tokens*.
#
# How can the network use them? The simplest way is to average them into **one** vector, and to treat it like the class in
# chapter 10. This loses something:

# %%
rng = np.random.default_rng(5)
table, places = rng.standard_normal((len(WORDS), 32)), rng.standard_normal((3, 32))
tokens = {caption: table[list(caption)] + places for caption in ((1, 4, 3), (3, 4, 1))}
one, other = (t.mean(axis=0) for t in tokens.values())
print(f"the mean tokens of 'red above blue' and 'blue above red' differ by at most {np.abs(one - other).max():.0e}")
assert np.allclose(one, other)

# %% [markdown]
# The mean does not depend on the order, with or without positions. Two opposite captions are the same to the network. However
# it is trained, it can obey only one of "red above blue" and "blue above red" at a time.
#
# ## Cross-attention
#
# It is better to let every part of the image *attend* to all tokens and take from each as much as it needs. The part has a
# *query* $q$. Each token has a *key* $k$ and a *value* $v$. All three are linear maps:
#
# $$q = h\,W_q, \quad k = c\,W_k, \quad v = c\,W_v, \qquad
# A = \operatorname{softmax}\!\bigl(q k^T / \sqrt{d}\bigr), \qquad y = A\,v .$$
#
# Here $h$ contains the parts of the image, $(B, N, D)$, and $c$ the tokens, $(B, M, E)$. $W_q$, $W_k$ and $W_v$ are learned
# weights, and $d$ is the length of a query. Row $i$ of $A$ contains the weights with which part $i$ takes from each of the $M$
# tokens. It is called *cross*-attention because the queries come from the image and the keys and values from the text.
#
# The backward pass is the forward pass in reverse. Only the softmax needs thought. Raising one weight lowers the others, so
# each gradient loses the weighted mean of all.

# %%
def cross_attention(h, c, Wq, Wk, Wv):
    """h (B, N, D)   c (B, M, E)   Wq (D, d)   Wk, Wv (E, d)   ->   y (B, N, d), back(dy) -> five gradients"""
    q, k, v = h @ Wq, c @ Wk, c @ Wv
    scores = q @ k.transpose(0, 2, 1) / q.shape[2] ** 0.5  # (B, N, M)
    A = np.exp(scores - scores.max(axis=2, keepdims=True))
    A = A / A.sum(axis=2, keepdims=True)

    def back(dy):
        dA, dv = dy @ v.transpose(0, 2, 1), A.transpose(0, 2, 1) @ dy
        dscores = A * (dA - (dA * A).sum(axis=2, keepdims=True)) / q.shape[2] ** 0.5
        dq, dk = dscores @ k, dscores.transpose(0, 2, 1) @ q
        dh, dc = dq @ Wq.T, dk @ Wk.T + dv @ Wv.T  # c was used twice
        dWq, dWk, dWv = (np.tensordot(x, dz, ((0, 1), (0, 1))) for x, dz in ((h, dq), (c, dk), (c, dv)))
        return dh, dc, dWq, dWk, dWv

    return A @ v, back


rng = np.random.default_rng(7)
arrays = [rng.standard_normal(shape) for shape in ((2, 5, 8), (2, 3, 6), (8, 4), (6, 4), (6, 4))]
errors = gradcheck.check(cross_attention, *arrays).values()
print("relative errors of the gradients:", ", ".join(f"{error:.0e}" for error in errors))

h, c, Wq, Wk, Wv = arrays
theirs, back_theirs = ops.attention(h @ Wq, c @ Wk, c @ Wv)
y, back = cross_attention(*arrays)
assert np.allclose(y, theirs)

# %% [markdown]
# `dc` is a gradient for *the words*. So the images train the table of word vectors.
#
# ## How does it become text to image?
#
# The usual answer is: condition the network on a text embedding, by adding, concatenating or cross-attention. Which one works
# best? We compare four ways in one small network, whose three parts are the three dots. Nothing else differs:
#
# - **add**: the mean of the tokens, through a linear map, is added in each layer, as the timestep is;
# - **concat**: the mean of the tokens is concatenated to each dot at the input;
# - **add, in order**: like the first, but with the three tokens concatenated (96 numbers) instead of their mean;
# - **cross**: each dot attends to the three tokens, in each layer, by the function above.

# %%
class DotNet(nn.Layer):
    """x (B, 6), t, captions (B, 3) of word numbers   ->   (B, 6)"""

    def __init__(self, way, width=48, layers=3, rng=0):
        rng, self.way = as_rng(rng), way
        self.words, self.places = nn.Embedding(len(WORDS), 32, rng), nn.Param(rng.standard_normal((3, 32), dtype=np.float32))
        self.told = {"add": 32, "add, in order": 96, "concat": 32, "cross": 0}[way]
        self.enter = nn.Linear(2 + (self.told if way == "concat" else 0), width, rng=rng)
        self.which = nn.Param(rng.standard_normal((3, width), dtype=np.float32))  # a learned vector for each of the dots
        self.mix = [nn.Linear(3 * width, 3 * width, rng=rng) for _ in range(layers)]
        self.time = [nn.Linear(width, 3 * width, rng=rng) for _ in range(layers)]
        if way.startswith("add"):
            self.add = [nn.Linear(self.told, 3 * width, rng=rng) for _ in range(layers)]
        if way == "cross":
            shapes = ((width, width), (32, width), (32, width))
            self.qkv = [[nn.Param(rng.standard_normal(s, dtype=np.float32) / s[0] ** 0.5) for s in shapes] for _ in self.mix]
        self.leave = nn.Linear(width, 2, rng=rng)

    def forward(self, x, t, captions):
        B, emb = len(x), ops.timestep_embedding(np.broadcast_to(t, len(x)), self.which.shape[1], dtype=x.dtype)
        words, back_words = self.words(captions)
        tokens = words + self.places.value  # (B, 3, 32)
        told = tokens.reshape(B, 96) if self.told == 96 else tokens.mean(axis=1)
        entrance = x.reshape(B, 3, 2)
        if self.way == "concat":
            entrance = np.concatenate([entrance, np.repeat(told[:, None], 3, axis=1)], axis=2)
        h, back_enter = self.enter(entrance)
        h, backs = h + self.which.value, []
        for i, mix in enumerate(self.mix):
            if self.way == "cross":
                y, back_look = cross_attention(h, tokens, *[p.value for p in self.qkv[i]])
                h = h + y
            z, back_mix = mix(h.reshape(B, -1))
            shift, back_time = self.time[i](emb)
            z = z + shift
            if self.way.startswith("add"):
                shift, back_add = self.add[i](told)
                z = z + shift
            z, back_silu = ops.silu(z)
            h = h + z.reshape(h.shape)
            backs.append((back_silu, back_mix, back_time, back_look if self.way == "cross" else None,
                          back_add if self.way.startswith("add") else None))  # fmt: skip
        y, back_leave = self.leave(h)

        def back(dy):
            dh, dtokens, dtold = back_leave(dy.reshape(B, 3, 2)), np.zeros_like(tokens), np.zeros_like(told)
            for i, (back_silu, back_mix, back_time, back_look, back_add) in reversed(list(enumerate(backs))):
                dz = back_silu(dh.reshape(B, -1))
                back_time(dz)
                dtold = dtold + (back_add(dz) if back_add else 0)
                dh = dh + back_mix(dz).reshape(dh.shape)
                if back_look:
                    dlook, dc, *dW = back_look(dh)
                    dh, dtokens = dh + dlook, dtokens + dc
                    for p, d in zip(self.qkv[i], dW, strict=True):
                        p.grad += d
            self.which.grad += dh.sum(axis=0)
            dentrance = back_enter(dh)
            dtold = dtold + (dentrance[..., 2:].sum(axis=1) if self.way == "concat" else 0)
            dtokens = dtokens + (dtold.reshape(B, 3, 32) if self.told == 96 else dtold[:, None] / 3)
            self.places.grad += dtokens.sum(axis=0)
            back_words(dtokens)
            return dentrance[..., :2].reshape(B, 6)

        return y.reshape(B, 6), back

    def null_cond(self, captions):
        return captions * 0  # "nothing nothing nothing"


rng = np.random.default_rng(9)
for way in ("add", "concat", "add, in order", "cross"):
    gradcheck.check_layer(DotNet(way, width=8, layers=2), rng.standard_normal((2, 6)), np.array([3, 700]), SHOWN[:2])
print("all gradients of the four networks are right")

# %%
def train(way):
    net = DotNet(way)
    trainer = training.Trainer(net, SimpleLoss(schedule, "v"), pictures, captions, steps=50 if FAST else 500,
                               batch_size=64 if FAST else 256, lr=3e-3, warmup=50, ema_decay=None)  # fmt: skip
    history = trainer.run(progress=False)
    return Denoiser(net, schedule, "v"), np.mean(history.loss[-100:])


def ask(denoiser, asked, weight=1.0, seed=1):
    steps = 2 if FAST else 20
    return sample("ddim", cfg(denoiser, asked, weight), (len(asked), 6), steps=steps, rng=seed)


asked = SHOWN[np.arange(100 if FAST else 600) % len(SHOWN)]
new = HELD_OUT[np.arange(30 if FAST else 300) % len(HELD_OUT)]
nets, scores = {}, {}
for way in ("add", "concat", "add, in order", "cross"):
    nets[way], loss = train(way)
    scores[way] = [obeyed(ask(nets[way], some), some).mean() for some in (asked, new)]
    print(f"{way:14} {nets[way].model.size():7,} parameters, loss {loss:.3f}; "
          f"obeyed: captions in training {scores[way][0]:4.0%}, held out {scores[way][1]:4.0%}")  # fmt: skip
assert FAST or min(scores["cross"][0], scores["add, in order"][0]) > 0.9 > 0.7 > max(scores["add"][0], scores["concat"][0])
assert FAST or min(scores["cross"][1], scores["add, in order"][1]) > by_chance > max(scores["add"][1], scores["concat"][1])

# %% [markdown]
# So "adding or cross-attention?" is the wrong question. Adding is not what fails: with the tokens in order the model obeys.
# What fails is the **mean**, which has lost who is above whom. On held-out captions it is worse than chance. To it, "red above
# green" is the same as "green above red", and that one it *has* learned. Cross-attention is not the best of all here either: on
# held-out captions it can do worse than the tokens in order. But it works for any number of words with the same weights, and
# each part of the image takes from the text what it needs. That is why the large models use it.

# %%
some = np.array([(1, 4, 3), (3, 4, 1), (2, 6, 1), (2, 7, 1), (1, 5, 2), (1, 4, 2)])
rows = [ask(nets[way], some, seed=5) for way in ("add", "cross")]
titles = [text(caption) for caption in some[:-1]] + [f"{text(some[-1])}\n(held out)"]
show_dots(np.concatenate(rows), titles + [""] * 6, 6, ["mean of the tokens", "cross-attention"])

# %% [markdown]
# ## Guidance
#
# As with classes, we drop the caption now and then in training (`cond_dropout` of the loss does this). The resulting network
# can be guided.

# %%
for weight in (-1.0, 0.0, 1.0, 3.0):
    made = ask(nets["cross"], asked, weight)
    print(f"w = {weight:4.1f}: captions obeyed {obeyed(made, asked).mean():4.0%}, deviation of coordinates {made.std():.2f}")
untold, guided = (obeyed(ask(nets["cross"], asked, weight), asked).mean() for weight in (-1.0, 1.0))
assert FAST or untold < 0.6 < guided

# %% [markdown]
# ($w = -1$ is the network without a caption.)
#
# ## Where do the words' vectors come from?
#
# Here the word vectors were learned together with the denoiser. The large models take them from a *text encoder*. It was
# trained before, on far more texts than there are captioned images, and is then frozen. Two kinds are common. A *language-only*
# encoder (T5, in Imagen) is trained to predict hidden words. In *contrastive* training (CLIP, in Stable Diffusion and DALL-E 2)
# a text encoder and an image encoder learn together. Each image must find its own caption among all captions of the batch. The
# loss is a softmax over the rows and one over the columns of a table of similarities $S$:

# %%
def contrastive(pictures, texts, scale):
    """Unit vectors of pairs, (B, D) each   ->   a number, back() -> dpictures, dtexts"""
    logits, own = scale * pictures @ texts.T, np.eye(len(texts))
    rows, columns = (np.exp(logits - logits.max(axis=a, keepdims=True)) for a in (1, 0))
    rows, columns = rows / rows.sum(axis=1, keepdims=True), columns / columns.sum(axis=0, keepdims=True)
    loss = -0.5 * (np.log(rows.diagonal()) + np.log(columns.diagonal())).mean()

    def back(dloss=1.0):
        dlogits = dloss * 0.5 * ((rows - own) + (columns - own)) / len(texts)
        return scale * dlogits @ texts, scale * dlogits.T @ pictures

    return loss, back


rng = np.random.default_rng(16)
a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.standard_normal((2, 6, 16)))
theirs, back_theirs = contrastive_loss(a, b, np.full(1, np.log(10.0)))
ours, back = contrastive(a, b, 10.0)
assert np.isclose(ours, theirs) and all(np.allclose(x, y) for x, y in zip(back(), back_theirs(), strict=False))

# %% [markdown]
# Let us train such a pair on the dots: two small networks, one for images and one for captions. Both output unit vectors of 16
# numbers.

# %%
class Pair(nn.Layer):
    """dots (B, 6), captions (B, 3)   ->   unit vectors of both, (B, 16) each"""

    def __init__(self, rng):
        self.look = [nn.Linear(6, 96, rng=rng), ops.silu, nn.Linear(96, 96, rng=rng), ops.silu, nn.Linear(96, 16, rng=rng)]
        self.words = nn.Embedding(len(WORDS), 32, rng)
        self.read = [nn.Linear(96, 96, rng=rng), ops.silu, nn.Linear(96, 16, rng=rng)]

    def forward(self, dots, captions):
        seen, back_look = nn.chain(self.look, dots)
        words, back_words = self.words(captions)
        told, back_read = nn.chain(self.read, words.reshape(len(captions), 96))  # in order
        (seen, back_seen), (told, back_told) = unit_vectors(seen), unit_vectors(told)

        def back(dseen, dtold):
            back_words(back_read(back_told(dtold)).reshape(words.shape))
            return back_look(back_seen(dseen))

        return (seen, told), back


def matching(pair, dots, rng, captions):
    (seen, told), back_pair = pair(dots, captions)
    loss, back = contrastive(seen, told, 10.0)
    return loss, lambda dloss=1.0: back_pair(*back(dloss))


pair = Pair(as_rng(0))
training.Trainer(pair, matching, pictures, captions, steps=100 if FAST else 300, batch_size=128, lr=3e-3, warmup=20,
                 ema_decay=None).run(progress=False)  # fmt: skip
rng = np.random.default_rng(18)
fresh = draw_world(CAPTIONS[rng.integers(24, size=500)], rng)
seen, told = pair.predict(fresh, np.repeat(CAPTIONS[:1], 500, axis=0))[0], pair.predict(fresh[:24], CAPTIONS)[1]
nearest = CAPTIONS[(seen @ told.T).argmax(axis=1)]
is_new = (nearest[:, None] == HELD_OUT).all(axis=2).any(axis=1)
print(f"the most similar of the 24 captions is true of {obeyed(fresh, nearest).mean():.0%} of 500 new images "
      f"(any caption: {np.mean([obeyed(fresh, np.repeat(c[None], 500, axis=0)).mean() for c in CAPTIONS]):.0%}); "
      f"where it is a held-out caption, of {obeyed(fresh, nearest)[is_new].mean():.0%}")  # fmt: skip
assert obeyed(fresh, nearest).mean() > 0.75

own = CAPTIONS[rng.integers(24, size=100)]
found = np.matmul(*(x if k == 0 else x.T for k, x in enumerate(pair.predict(draw_world(own, rng), own))))  # (100, 100)

# %% [markdown]
# The plot shows seven images, and the similarity of each to all captions. A dot marks the captions that are true. (Several
# captions are true of one image. The same holds for photographs, and this loss pushes all but one of them away.)

# %%
figure = viz.new_figure(9.6, 3.4, "tight")
axes = figure.add_subplot()
axes.imshow(seen[:7] @ told.T, cmap="Blues", aspect="auto")
for row in range(7):
    true = np.flatnonzero(obeyed(np.repeat(fresh[row : row + 1], 24, axis=0), CAPTIONS))
    axes.plot(true, np.full(len(true), row), "o", color=viz.COLOURS[1], markersize=4)
axes.set_xticks(range(24), [text(caption) for caption in CAPTIONS], rotation=60, ha="right", fontsize=8)
axes.set_yticks(range(7), [f"image {row + 1}" for row in range(7)], fontsize=8)
axes.set_title("Similarity of images and captions", fontsize=11)
figure

# %% [markdown]
# ## Which word does each part attend to?
#
# The attention weights $A$ can be plotted. Here they are for the cross-attention network above, halfway through the noise
# ($t = 500$):

# %%
def looks(net, x, t, captions):
    """The attention weights of each layer, for one batch.   -> list of (B, 3, 3)"""
    tables, plain = [], globals()["cross_attention"]

    def watched(h, c, Wq, Wk, Wv):
        tables.append(ops.softmax((h @ Wq) @ (c @ Wk).transpose(0, 2, 1) / Wq.shape[1] ** 0.5)[0])
        return plain(h, c, Wq, Wk, Wv)

    globals()["cross_attention"] = watched
    net.predict(x, t, captions)
    globals()["cross_attention"] = plain
    return tables


few = np.array([(1, 4, 3), (3, 4, 1), (2, 6, 1)])
many = np.repeat(few, 100, axis=0)
rng = np.random.default_rng(22)
noisy = schedule.add_noise(draw_world(many, rng), Rng(6).standard_normal((300, 6)), 500)
A = np.mean([table.reshape(3, 100, 3, 3).mean(axis=1) for table in looks(nets["cross"].model, noisy, 500, many)], axis=0)
assert np.allclose(A.sum(axis=2), 1, atol=1e-5)
figure = viz.new_figure(8.4, 2.6, "tight")
for k, axes in enumerate(figure.subplots(1, 3)):
    axes.imshow(A[k], cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(3), text(few[k]).split(), fontsize=9)
    axes.set_yticks(range(3), ["red dot", "green dot", "blue dot"], fontsize=9)
    for i in range(3):
        for j in range(3):
            shade = "white" if A[k, i, j] > 0.6 else "black"
            axes.text(j, i, f"{A[k, i, j]:.2f}", ha="center", va="center", color=shade, fontsize=9)
figure

# %% [markdown]
# A row is the dot that attends, a column the word that it attends to. The weights are means over three layers and 100 images.
# It is tempting to read such a table as what the network "thinks". It shows where values are taken from, not what is done with
# them.
#
# ## What if the model does not know a word?
#
# Large models split unknown words into pieces that they know. So they never reject a word, and never report what they did not
# understand. The text-to-image models of chapter 12 have a small vocabulary, and minidiff raises an error for any other word:

# %%
try:
    tokenizer.encode(["a tiny red circle"])
    raise SystemExit("this line is never reached")
except ValueError as error:
    print("ValueError:", error)
print(tokenizer.encode(["a small red circle"])[0], "decodes to", tokenizer.decode(tokenizer.encode(["a small red circle"])))

# %% [markdown]
# ## The same in minidiff
#
# In minidiff cross-attention is `nn.Attention`, which adds heads and an output map to the function above. `models.TextUNet`
# conditions a U-Net on a text in the three ways; one option chooses the way. Does the layer give the same numbers?

# %%
layer = nn.Attention(8, heads=1, head_dim=4, context_features=6, rng=0).astype(np.float64)
y, back = layer(h, c)
out = layer.to_out[0]
q, k, v = (p.weight.value for p in (layer.to_q, layer.to_k, layer.to_v))
ours, back_ours = cross_attention(h, c, q, k, v)
assert np.allclose(ours @ out.weight.value + out.bias.value, y)
rng = np.random.default_rng(26)
dy = rng.standard_normal(y.shape)
dh, dc = back(dy)
assert np.allclose(dh, back_ours(dy @ out.weight.value.T)[0]) and np.allclose(dc, back_ours(dy @ out.weight.value.T)[1])
print("forward and backward agree; TextUNet's ways of conditioning:", ", ".join(models.text_unet.CONDITIONINGS))

# %% [markdown]
# `minidiff study conditioning` trains the three ways alike, in one U-Net, on images of shapes, and counts the prompts obeyed:
# [tables](../docs/studies.md#how-should-a-model-be-conditioned-on-text).
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Captions differ in length, so short ones are filled up with padding that no part may attend to. From scores
# and a mask (True for words, False for padding), compute the attention weights.
#
# <details><summary>Hint</summary>
#
# The weights of the remaining words must add up to 1. So the mask must be applied before the softmax.
# </details>
# <details><summary>Bigger hint</summary>
#
# Which score has the weight 0, whatever the others are? `np.where` can insert it. Then subtract the largest score of each row,
# so that `exp` cannot overflow.
# </details>

# %%
def masked_weights(scores, mask):
    ...  # scores (B, N, M), mask (B, 1, M) -> weights (B, N, M)


rng = np.random.default_rng(28)
if grading.answered(masked_weights, np.zeros((1, 1, 2)), np.ones((1, 1, 2), bool)):
    mistakes.find(masked_weights, "11.masked_weights")
    scores, mask = rng.standard_normal((2, 3, 4)), np.array([[True, True, False, False], [True, True, True, True]])[:, None]
    short = masked_weights(scores[:1, :, :2], mask[:1, :, :2])
    grading.same(masked_weights(scores, mask)[:1, :, :2], short, "the weights of a caption, with padding and without")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Write the backward pass of a softmax over the last axis: compute the gradient of the scores from the weights
# `A` and `dA`.
#
# <details><summary>Hint</summary>
#
# It is a line of `cross_attention` above, apart from the factor $1/\sqrt{d}$.
# </details>
# <details><summary>Bigger hint</summary>
#
# $\partial A_i / \partial s_j = A_i (\delta_{ij} - A_j)$. Multiply by $dA_i$ and sum over $i$: each row has its own weighted
# sum of `dA`.
# </details>

# %%
def softmax_back(A, dA):
    ...  # both (..., M) -> (..., M)


if grading.answered(softmax_back, np.ones((1, 1, 1)), np.ones((1, 1, 1))):
    mistakes.find(softmax_back, "11.softmax_back")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** How good is a contrastive encoder? From the table of similarities, compute the share of images whose own
# caption is among the `k` nearest.
#
# <details><summary>Hint</summary>
#
# The rank of an image's own caption is the number of captions that are more similar to it.
# </details>
# <details><summary>Bigger hint</summary>
#
# `S.diagonal()[:, None]` is a column: it compares each image's own caption with its whole row. The best rank is 0.
# </details>

# %%
def among_nearest(S, k):
    ...  # S (B, B), pair i on the diagonal; return a number from 0 to 1


if grading.answered(among_nearest, np.eye(2), 1):
    mistakes.find(among_nearest, "11.among_nearest")
    print(f"exercise 3: right; {among_nearest(found, 5):.0%} of 100 images have their caption among the 5 nearest")

# %% [markdown]
# **Exercise 4.** "A green square, but not on the left": guidance can also lead *away* from a text. The text to avoid replaces
# "nothing". Return the guided $\hat\epsilon$.
#
# <details><summary>Hint</summary>
#
# Call the denoiser twice, once for each text.
# </details>
# <details><summary>Bigger hint</summary>
#
# It is chapter 10's formula, repeated at the top of this one, with another text in the second place. The denoiser returns
# $\hat x_0$ first and $\hat\epsilon$ second.
# </details>

# %%
def away_from(denoiser, x, t, cond, avoid, w):
    ...  # denoiser(x, t, cond) -> x0, eps; return the noise


x = Rng(8).standard_normal((24, 6))
if grading.answered(away_from, nets["cross"], x, 500, CAPTIONS, CAPTIONS[::-1], 1.0):
    mistakes.find(away_from, "11.away_from")
    opposite = CAPTIONS[:, ::-1]  # red above blue: away from blue above red
    ours = away_from(nets["cross"], x, 500, CAPTIONS, opposite, 1.5)
    grading.same(ours, cfg(nets["cross"], CAPTIONS, 1.5, null=opposite)(x, 500)[1], "the library's guided eps", atol=1e-4)
    print("exercise 4: right")

# %% [markdown]
# ### Build it: cross-attention with heads and a mask
#
# Now build the layer of the large models, in three steps. Each exercise can pass without the others. With several *heads*, the
# features are split into groups of neighbours. Each head attends with its own group of $q$, $k$ and $v$, and the results are
# concatenated again. So a part can attend to several words at once.
#
# **Exercise 5.** Split the features into heads: $z$ is $(B, N, D)$ and $y$ is $(B, \text{heads}, N, d)$. `y[:, i]` contains the
# $i$-th group of $d = D / \text{heads}$ neighbouring features. `back(dy)` puts them together again.
#
# <details><summary>Hint</summary>
#
# `reshape` keeps the order of the numbers in memory, so use it to split the last axis only. Then move the axes.
# </details>
# <details><summary>Bigger hint</summary>
#
# `transpose` takes the axes in their new order. The backward pass undoes each move, the last one first.
# </details>

# %%
def split_heads(z, heads):
    ...  # return y, back


if grading.answered(split_heads, np.ones((1, 1, 2)), 2):
    mistakes.find(split_heads, "11.split_heads")
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Write attention with several heads and a mask, forward and backward. $q$ is $(B, N, D)$, $k$ $(B, M, D)$, $v$
# $(B, M, E)$; `mask` is $(B, M)$, True for words and False for padding. Each head computes
# $A = \operatorname{softmax}(q k^T / \sqrt{d})$ over the words that the mask keeps, with $d = D / \text{heads}$. `back(dy)`
# returns `dq, dk, dv`.
#
# <details><summary>Hint</summary>
#
# With arrays of shape $(B, \text{heads}, N, d)$ the lines of `cross_attention` need little change: `@` works on the last two
# axes, however many come before them.
# </details>
# <details><summary>Bigger hint</summary>
#
# Give the mask two axes of length 1, for heads and for queries. A score of $-\infty$ gives the weight 0. A weight of 0 passes
# no gradient, so `back` does not need the mask.
# </details>

# %%
def multi_head(q, k, v, heads, mask):
    ...  # return y (B, N, E), back


rng = np.random.default_rng(32)
if grading.answered(multi_head, np.ones((1, 1, 2)), np.ones((1, 1, 2)), np.ones((1, 1, 2)), 2, np.ones((1, 1), bool)):
    mistakes.find(multi_head, "11.multi_head")
    arrays = [rng.standard_normal(shape) for shape in ((2, 3, 4), (2, 5, 4), (2, 5, 6))]
    seen = np.arange(5) < np.array([[3], [5]])
    gradcheck.check(lambda q, k, v: multi_head(q, k, v, 2, seen), *arrays)
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** Write the whole layer, around any attention. `attend(q, k, v)` returns `a, back_attend`, and `back_attend(da)`
# returns `dq, dk, dv`. The layer is $y = \text{attend}(h W_q,\, c W_k,\, c W_v)\,W_o + b_o$. `back(dy)` returns seven
# gradients, in the order of the arrays.
#
# <details><summary>Hint</summary>
#
# It consists of four linear maps around one call. Write `back` as the forward pass in reverse. Which array was used twice?
# </details>
# <details><summary>Bigger hint</summary>
#
# The gradient of a weight adds up over all texts and all rows: `np.tensordot(x, dz, ((0, 1), (0, 1)))`. $b_o$ was added to
# every row of every text.
# </details>

# %%
def cross_layer(attend, h, c, Wq, Wk, Wv, Wo, bo):
    ...  # h (B, N, D)   c (B, M, E)   ->   y, back


one, ones = np.ones((1, 1)), np.ones((1, 1, 1))
if grading.answered(cross_layer, lambda q, k, v: (v, lambda da: (da, da, da)), ones, ones, one, one, one, one, one[0]):
    mistakes.find(cross_layer, "11.cross_layer")
    print("exercise 7: right")

# %% [markdown]
# The answers are in [docs/answers/11.py](../docs/answers/11.py), together with the hidden tests for graded assignments.
