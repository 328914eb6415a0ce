"""CLIP's text tower and T5's encoder against transformers': hidden states and every gradient, padded and cut texts."""

import numpy as np
import pytest

from minidiff.gradcheck import check
from minidiff.models import CLIPTextModel, T5EncoderModel
from minidiff.models.t5_encoder import relative_buckets


@pytest.fixture
def transformers():
    library = pytest.importorskip("transformers")
    library.logging.set_verbosity_error()
    return library


CLIP = [
    dict(hidden_act="quick_gelu", eos_token_id=48),
    dict(hidden_act="gelu", eos_token_id=48),
    dict(hidden_act="quick_gelu", eos_token_id=2),
]


def texts(rng, vocab, lengths, N, end):
    """ids (B, N) and mask: text, the end token, padding with it."""
    ids = rng.integers(3, vocab - 3, (len(lengths), N))
    mask = np.arange(N)[None, :] < np.array(lengths)[:, None]
    ids[~mask] = end
    ids[np.arange(len(lengths)), np.array(lengths) - 1] = end
    return ids, mask


@pytest.mark.parametrize("options", CLIP)
@pytest.mark.parametrize("use_mask", (False, True))
def test_clip(options, use_mask, torch, transformers, stir, same_weights, close, same_gradients):
    sizes = dict(vocab_size=50, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
                 max_position_embeddings=12)  # fmt: skip
    torch.manual_seed(0)
    theirs = stir(transformers.CLIPTextModel(transformers.CLIPTextConfig(**sizes, **options)))
    ours = same_weights(CLIPTextModel(**sizes, **options, rng=0), theirs, prefix="text_model.")
    ids, mask = texts(np.random.default_rng(0), 50, [12, 3, 7], 12, 49 if options["eos_token_id"] == 2 else 48)
    given = torch.tensor(mask) if use_mask else None
    with torch.no_grad():
        expected = theirs(torch.tensor(ids), attention_mask=given)
    hidden = ours.predict(ids, mask if use_mask else None)
    close(hidden, expected.last_hidden_state.numpy(), 1e-5)
    close(ours.pool(hidden, ids)[0], expected.pooler_output.numpy(), 1e-5)

    theirs, ours = theirs.double(), ours.astype(np.float64)
    out = theirs(torch.tensor(ids), attention_mask=given)
    dy, dpooled = torch.randn_like(out.last_hidden_state), torch.randn_like(out.pooler_output)
    ((out.last_hidden_state * dy).sum() + (out.pooler_output * dpooled).sum()).backward()
    hidden, back = ours(ids, mask if use_mask else None)
    _, back_pool = ours.pool(hidden, ids)
    assert back(dy.numpy() + back_pool(dpooled.numpy())) is None
    same_gradients(ours, theirs, 1e-8, prefix="text_model.")


def test_shorter_texts_and_longer_ones(torch, transformers, same_weights, close):
    sizes = dict(vocab_size=50, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                 max_position_embeddings=12)  # fmt: skip
    theirs = transformers.CLIPTextModel(transformers.CLIPTextConfig(**sizes, eos_token_id=48)).eval()
    ours = same_weights(CLIPTextModel(**sizes, eos_token_id=48, rng=0), theirs, prefix="text_model.")
    ids = np.array([[1, 5, 48]])
    with torch.no_grad():
        close(ours.predict(ids), theirs(torch.tensor(ids)).last_hidden_state.numpy(), 1e-5)
    with pytest.raises(ValueError, match=r"\(1, 13\).*at most 12"):
        ours.predict(np.zeros((1, 13), np.int64))


@pytest.mark.slow
def test_clip_vit_l_14(torch, transformers, same_weights, close):
    """The text encoder of Stable Diffusion 1.x: config.json of openai/clip-vit-large-patch14's text tower."""
    sizes = dict(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                 max_position_embeddings=77, hidden_act="quick_gelu", eos_token_id=2)  # fmt: skip
    torch.manual_seed(0)
    theirs = transformers.CLIPTextModel(transformers.CLIPTextConfig(**sizes)).eval()
    ours = same_weights(CLIPTextModel(**sizes, rng=0), theirs, prefix="text_model.")
    assert ours.size() == 123_060_480
    ids, _ = texts(np.random.default_rng(1), 49406, [77, 9], 77, 49407)
    with torch.no_grad():
        close(ours.predict(ids), theirs(torch.tensor(ids)).last_hidden_state.numpy(), 1e-4)


@pytest.mark.parametrize("kind", ("relu", "gated-gelu", "gated-silu"))
@pytest.mark.parametrize("use_mask", (False, True))
def test_t5(kind, use_mask, torch, transformers, stir, same_weights, close, same_gradients):
    sizes = dict(vocab_size=50, d_model=24, d_kv=5, d_ff=40, num_layers=3, num_heads=4, feed_forward_proj=kind,
                 relative_attention_num_buckets=8, relative_attention_max_distance=20)  # fmt: skip
    torch.manual_seed(0)
    theirs = stir(transformers.T5EncoderModel(transformers.T5Config(**sizes)))
    ours = same_weights(T5EncoderModel(**sizes, rng=0), theirs)
    ids, mask = texts(np.random.default_rng(0), 50, [30, 3, 17], 30, 1)
    given = torch.tensor(mask) if use_mask else None
    with torch.no_grad():
        expected = theirs(torch.tensor(ids), attention_mask=given).last_hidden_state
    close(ours.predict(ids, mask if use_mask else None), expected.numpy(), 1e-5)

    theirs, ours = theirs.double(), ours.astype(np.float64)
    out = theirs(torch.tensor(ids), attention_mask=given).last_hidden_state
    dy = torch.randn_like(out)
    out.backward(dy)
    ours(ids, mask if use_mask else None)[1](dy.numpy())
    same_gradients(ours, theirs, 1e-6)


def test_buckets(torch, transformers):
    from transformers.models.t5.modeling_t5 import T5Attention

    for buckets, distance in ((32, 128), (8, 20), (16, 64)):
        gap = torch.arange(600)[None, :] - torch.arange(600)[:, None]
        theirs = T5Attention._relative_position_bucket(gap, True, buckets, distance)
        np.testing.assert_array_equal(relative_buckets(600, buckets, distance), theirs.numpy())


def test_pool_by_slope():
    model = CLIPTextModel(vocab_size=9, hidden_size=4, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                          eos_token_id=8, rng=0)  # fmt: skip
    ids = np.array([[1, 8, 8], [2, 3, 8]])
    check(lambda hidden: model.pool(hidden, ids), np.random.default_rng(0).standard_normal((2, 3, 4)), tolerance=1e-12)
