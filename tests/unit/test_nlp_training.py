"Training the recogniser: readings that are held to agree."
import numpy as np
import pytest

from healthlab.nlp.corpora import Example, Mention
from healthlab.nlp.multitask import Head, Plan, _apart, _network, _tensors, heads, items, train


def examples():
    "Drugs labelled always, illnesses by the toss of a coin: nothing tells which."
    out, rng = [], np.random.default_rng(0)
    for drug in ("fluconazole", "ibuprofen", "warfarin", "cisplatin", "haloperidol"):
        for ill in ("hepatitis", "gastritis", "bleeding", "nephritis", "dystonia"):
            text = f"{ill.capitalize()} developed after {drug} was given."
            out.append(Example(text, text, [Mention(0, len(ill), "Disease")] * int(rng.integers(2)) + [Mention(text.index(drug), text.index(drug) + len(drug), "Chemical")]))
    return out


def test_how_far_two_readings_are_apart():
    import torch
    head, y = {"a": Head("a", ("X",), 0), "b": Head("b", ("X",), 3)}, torch.zeros(2, 4, 7)
    assert _apart(y, head) == 0
    y[:, :, 6] = torch.tensor([[5.], [-5.]]) # a column of neither head
    assert _apart(y, head) == 0
    y[0, :, 1] = 1
    p, q = np.exp([0, 1, 0]) / np.exp([0, 1, 0]).sum(), np.full(3, 1 / 3)
    assert float(_apart(y, head)) == pytest.approx(((p - q) * np.log(p / q)).sum() / 2, rel=1e-5) == pytest.approx(float(_apart(y.flip(0), head)), rel=1e-5)


def test_readings_held_to_agree_are_less_apart():
    import torch
    from healthlab.encoder.base import base
    made, apart = examples(), {}
    for agree in (0, 4):
        plan = Plan(epochs=25, lr=1e-3, tokens=256 * (2 if agree else 1), average=.8, mask=.4, agree=agree)
        tagger = train({"lesson": (made[::2], made[1::2])}, plan)
        assert tagger.card["agree"] == agree and tagger.card["held_out"]["lesson"]["Chemical"] > .6
        encoder, head = base(), heads(tagger.card["heads"])
        net, batch = _network(encoder, len(tagger.card["labels"]), plan, tagger).train(), items(made[1::2], head["lesson"], encoder, plan)
        torch.manual_seed(0)
        tensors = _tensors(batch * 2, plan, encoder.tokenizer.token_to_id("[MASK]"), np.random.default_rng(0))
        with torch.no_grad():
            y = net(*tensors[:3]).flatten(0, 1)[tensors[3]].unflatten(0, (2, -1))
        apart[agree] = float(_apart(y, head))
    assert apart[4] < .6 * apart[0], apart


def test_the_mean_of_weights():
    from healthlab.core.errors import InputError
    from healthlab.nlp.entities import model
    from healthlab.nlp.training import averaged
    first = model()
    other = type(first)(first.encoder, first.card | {"steps": 7}, {k: v + 1 for k, v in first.learnt.items()}, first.channels)
    mean = averaged([first, other])
    assert not mean.steady and all(np.allclose(v, first.learnt[k] + .5, atol=1e-5) for k, v in mean.learnt.items()) and [t["steps"] for t in mean.card["averaged_with"]] == [7]
    assert averaged([first]).card == first.card
    with pytest.raises(InputError, match="no mean"): averaged([first, type(first)(first.encoder, first.card | {"labels": ["O"]}, first.learnt, first.channels)])
