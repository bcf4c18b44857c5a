"""A checkpoint comes back as it was, or not at all; one that is broken costs no other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.learning.checkpoint import LATEST, Checkpoints

STATE = {
    "network": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.zeros(3)},
    "key": jax.random.key(3),
    "keys": jax.random.split(jax.random.key(4), 5),
    "nothing": jnp.zeros((0, 7)),
    "update": jnp.int32(4),
    "flags": jnp.array([True, False, True]),
    "number": np.float32(0.1),
    "deep": ((np.uint32(2**32 - 1),),),
}
LIKE = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, STATE))


@pytest.fixture
def told():
    return []


@pytest.fixture
def checkpoints(tmp_path, told):
    opened = Checkpoints(tmp_path / "checkpoints", told.append)
    yield opened
    opened.close()


def state(update):
    return {**STATE, "update": jnp.int32(update)}


def save(checkpoints, *failed):
    for update, share in enumerate(failed, start=1):
        checkpoints.save(update, state(update), {"curve": [update]}, share)
    checkpoints.wait()


def numbers(checkpoints):
    return sorted(
        int(entry.name) for entry in checkpoints.folder.iterdir() if entry.name.isdecimal()
    )


def plain(tree):
    def numpy(leaf):
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if key else leaf)

    return jax.tree.map(numpy, tree)


def files(checkpoints, update, part):
    """Those that hold the arrays, or what is said about them."""
    return [
        file
        for file in (checkpoints.folder / str(update) / part).rglob("*")
        if file.is_file() and file.stat().st_size > 0
    ]


def test_what_was_saved_comes_back_to_the_bit(checkpoints, told):
    save(checkpoints, 5.0)
    found, about = checkpoints.newest(LIKE)
    wanted = plain(state(1))
    assert jax.tree.structure(plain(found)) == jax.tree.structure(wanted)
    for leaf, other in zip(*map(jax.tree.leaves, (plain(found), wanted)), strict=True):
        assert (leaf.dtype, leaf.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(leaf, other)
    assert about == {"curve": [1]}
    assert told == []


def test_a_folder_that_is_not_there_holds_nothing(checkpoints):
    assert checkpoints.newest(LIKE) is None
    assert not checkpoints.folder.exists()


def test_the_latest_and_the_best_are_kept_also_by_those_who_come_later(checkpoints, told):
    save(checkpoints, 5.0, 1.0, 3.0, 4.0, 2.5, 2.0)
    assert LATEST == 3
    assert numbers(checkpoints) == [2, 4, 5, 6]
    checkpoints.close()
    later = Checkpoints(checkpoints.folder, told.append)
    for update in (7, 8, 9):
        later.save(update, state(update), {}, 6.0)
    later.close()
    assert numbers(checkpoints) == [2, 7, 8, 9]
    assert told == []


def test_what_is_given_away_after_saving_was_copied_before(checkpoints):
    given = {"leaf": jnp.arange(1000.0)}
    checkpoints.save(1, given, {}, 1.0)
    jax.jit(lambda given: {"leaf": given["leaf"] * 0 - 1}, donate_argnums=0)(given)
    checkpoints.wait()
    found, _ = checkpoints.newest(jax.eval_shape(lambda: {"leaf": jnp.arange(1000.0)}))
    np.testing.assert_array_equal(found["leaf"], np.arange(1000.0))


@pytest.mark.parametrize("part", ["state", "about"])
@pytest.mark.parametrize("harm", ["half", "gone", "changed"])
def test_a_broken_checkpoint_is_told_and_the_one_before_is_taken(checkpoints, told, part, harm):
    save(checkpoints, 5.0, 4.0)
    for file in files(checkpoints, 2, part):
        content = file.read_bytes()
        if harm == "gone":
            file.unlink()
        elif harm == "half":
            file.write_bytes(content[: len(content) // 2])
        else:
            file.write_bytes(bytes(255 - byte for byte in content))
    found, about = checkpoints.newest(LIKE)
    assert int(found["update"]) == 1
    assert about == {"curve": [1]}
    assert len(told) == 1
    assert f"checkpoint {checkpoints.folder / '2'} cannot be used: " in told[0]
    assert "\n" not in told[0]
    # The run goes on from there, and comes to that number again.
    checkpoints.save(2, state(2), {"curve": [2]}, 4.0)
    checkpoints.wait()
    assert int(checkpoints.newest(LIKE)[0]["update"]) == 2
    assert len(told) == 1


def test_where_all_are_broken_there_is_none(checkpoints, told):
    save(checkpoints, 5.0, 4.0)
    for update in (1, 2):
        for file in files(checkpoints, update, "state"):
            file.write_bytes(b"")
    assert checkpoints.newest(LIKE) is None
    assert len(told) == 2


def test_a_broken_record_of_the_best_does_not_stop_the_next_from_being_written(checkpoints, told):
    save(checkpoints, 1.0, 4.0, 4.0, 4.0)
    for file in files(checkpoints, 1, "metrics"):
        file.write_bytes(b"{")
    checkpoints.close()
    later = Checkpoints(checkpoints.folder, told.append)
    later.save(5, state(5), {}, 3.0)
    later.close()
    assert 5 in numbers(checkpoints)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"network": {"kernel": jnp.zeros((2, 4)), "bias": jnp.zeros(3)}}, "network.kernel"),
        ({"update": jnp.float32(0)}, "update"),
        ({"more": jnp.zeros(1)}, "more"),
    ],
)
def test_a_checkpoint_of_another_run_is_named(checkpoints, told, other, named):
    save(checkpoints, 5.0)
    like = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, {**STATE, **other}))
    assert checkpoints.newest(like) is None
    assert f"it is of another run; differing: {named}" in told[0]


def test_a_place_that_cannot_be_written_does_not_end_a_run(tmp_path, told):
    blocker = tmp_path / "file"
    blocker.touch()
    checkpoints = Checkpoints(blocker / "checkpoints", told.append)
    checkpoints.save(1, state(1), {}, 1.0)
    checkpoints.close()
    assert len(told) == 1
    assert f"no checkpoint could be written to {blocker / 'checkpoints'}" in told[0]
    assert "training goes on" in told[0]


def test_a_finished_run_leaves_none(checkpoints):
    save(checkpoints, 5.0)
    checkpoints.remove()
    assert not checkpoints.folder.exists()
