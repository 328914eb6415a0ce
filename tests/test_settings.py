"""Settings (`no_grad`, `plain`, `training`, `threads`) hold for one thread or asyncio task alone.

The right values: the scope of a setting is that of PEP 567's context variables.
"""

import asyncio
import contextlib
import inspect
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minidiff
from minidiff import nn, samplers
from minidiff.diffusion import Denoiser, Schedule
from minidiff.settings import all_settings, current, is_no_grad, is_plain, no_grad, plain, setting, training_rng

RNG = object()
SETTINGS = {
    "no_grad": (no_grad, is_no_grad, False, True),
    "plain": (plain, is_plain, False, True),
    "training": (lambda: nn.training(RNG), training_rng, None, RNG),
    "threads": (lambda: minidiff.threads(7), lambda: current("threads"), None, 7),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_holds_in_its_own_asyncio_task_alone(name):
    inside, now, outside, within = SETTINGS[name]
    seen = {}

    async def sampler(ready, done):
        with inside():
            ready.set()
            await done.wait()
            seen["sampler"] = now()

    async def trainer(ready, done):
        await ready.wait()
        seen["trainer"] = now()
        done.set()

    async def main():
        events = asyncio.Event(), asyncio.Event()
        await asyncio.gather(sampler(*events), trainer(*events))
        with inside():
            seen["child"] = await asyncio.create_task(asyncio.sleep(0, now())), await asyncio.to_thread(now)

    asyncio.run(main())
    assert seen == {"sampler": within, "trainer": outside, "child": (within, within)}
    assert now() == outside


def test_two_tasks_that_train_and_sample_leave_each_other_s_gradients_alone():
    """d(w x)/dw = x, whatever another task does meanwhile."""
    layer, x = nn.Linear(1, 1, rng=0), np.array([[3.0]], np.float32)

    async def sample():
        with no_grad():
            for _ in range(3):
                await asyncio.sleep(0)

    async def train():
        for _ in range(3):
            await asyncio.sleep(0)
            layer(x)[1](np.ones((1, 1), np.float32))

    async def main():
        await asyncio.gather(sample(), train(), sample())

    asyncio.run(main())
    assert layer.weight.grad.item() == 9.0


@pytest.mark.parametrize("name", SETTINGS)
def test_a_new_thread_starts_without_settings_and_can_copy_them(name):
    inside, now, outside, within = SETTINGS[name]
    with ThreadPoolExecutor(1) as pool, inside():
        settings = all_settings()

        def told():
            with setting(**settings):
                return now()

        assert pool.submit(now).result() == outside
        assert pool.submit(told).result() == within
        assert pool.submit(now).result() == outside
        assert now() == within


def test_settings_nest_and_end_with_an_exception():
    with contextlib.suppress(ZeroDivisionError), setting(a=1):
        with setting(a=2, b=3):
            assert (current("a"), current("b")) == (2, 3)
        assert (current("a"), current("b")) == (1, None)
        1 / 0  # noqa: B018
    assert (current("a"), current("b")) == (None, None)


def test_a_generator_that_another_context_closes_ends_quietly():
    def held():
        with no_grad():
            yield

    generator = held()
    asyncio.run(asyncio.to_thread(next, generator))  # entered in a context that is gone by now
    assert not is_no_grad()
    generator.close()
    assert not is_no_grad()


@pytest.mark.parametrize("name", sorted(samplers.SAMPLERS))
def test_no_sampler_holds_a_setting_between_its_steps(name):
    """A generator runs in its caller's context: what it sets at a yield would hold for the caller."""
    model = nn.Linear(2, 2, rng=0)

    class Net(nn.Layer):
        def __init__(self):
            self.linear = model

        def forward(self, x, t, cond=None):
            return self.linear(x)

    x = np.random.default_rng(0).standard_normal((2, 2), dtype=np.float32)
    before, states = all_settings(), []
    sampler = samplers.find(name)
    options = {"rng": 0} if "rng" in inspect.signature(sampler.function).parameters else {}
    steps = sampler.function(Denoiser(Net(), Schedule.linear(20)), x, steps=sampler.steps and 5, **options)
    with contextlib.closing(steps):
        for _ in steps:
            states.append({key: value for key, value in all_settings().items() if value is not None})
            y, back = model(x)
            back(y)  # a step of training between two steps of sampling
    assert states and all(state == {k: v for k, v in before.items() if v is not None} for state in states)
