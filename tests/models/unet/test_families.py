"""UNet(...) builds the class that knows the blocks it is given; wherever models are told apart, each is a UNet."""

import copy
import inspect

import pytest

from minidiff.interop.kinds import kind_of_model
from minidiff.models.unet import KUNet, NCSNpp, UNet

SMALL = dict(block_out_channels=(32, 32), layers_per_block=1, norm_num_groups=8)
FAMILIES = [
    (UNet, {}),
    (UNet, dict(down_block_types=["AttnDownBlock2D", "ResnetDownsampleBlock2D"])),
    (NCSNpp, dict(down_block_types=["SkipDownBlock2D", "AttnDownBlock2D"])),
    (NCSNpp, dict(up_block_types=("UpBlock2D", "AttnSkipUpBlock2D"))),
    (KUNet, dict(down_block_types=("KDownBlock2D",) * 2, up_block_types=("KUpBlock2D",) * 2)),
]


@pytest.mark.parametrize("family, blocks", FAMILIES)
def test_the_blocks_choose_the_class(family, blocks):
    net = UNet(**SMALL, **blocks, rng=0)
    for same in (net, copy.deepcopy(net), UNet(**net.config, rng=1), family(**net.config, rng=1)):
        assert type(same) is family and isinstance(same, UNet)
        assert list(same.parameters()) == list(net.parameters()) and same.config == net.config
    assert kind_of_model(net).model is UNet


def test_blocks_by_position():
    assert type(UNet(None, 3, 3, (32, 32), 1, ("SkipDownBlock2D",) * 2, rng=0)) is NCSNpp


def test_every_class_shows_the_options():
    options = inspect.signature(UNet.__init__).parameters
    for family in (UNet, NCSNpp, KUNet):
        assert {"self": options["self"], **inspect.signature(family).parameters} == options


def test_a_subclass_of_a_user_s_own_stays_itself():
    class Mine(UNet):
        pass

    assert type(Mine(**SMALL, rng=0)) is Mine
