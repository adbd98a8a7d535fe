"Token-classification checkpoints of any origin in place of the default recogniser."
import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from healthlab.core.errors import HealthlabError
from healthlab.encoder.base import base
from healthlab.nlp.checkpoint import Checkpoint, category, checkpoint, joined, named
from healthlab.nlp.entities import recognise

TEXT = "Given insulin for the fever.\nNo warfarin at home, patient is well."
WORDS = {"insulin": 1, "fever": 3, "war": 1, "##far": 2, "##in": 2}
TAGS = {"0": "O", "1": "B-Chemical", "2": "I-Chemical", "3": "B-Disease", "4": "I-Disease"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch): monkeypatch.setenv("HEALTHLAB_ENCODER_CACHE", str(tmp_path / "cache"))


def described(folder, **more):
    folder.mkdir(exist_ok=True)
    shutil.copy(base("").folder / "tokenizer.json", folder)
    if more: (folder / "config.json").write_text(json.dumps({"id2label": TAGS, **more}))
    return folder


def looking_up(model_class, config_class, folder, **sizes):
    "A transformer whose layers pass on what they get: its classifier sees the word table, which marks the words above."
    import torch
    tokenizer = base("").tokenizer
    config = config_class(vocab_size=tokenizer.get_vocab_size(), id2label={int(k): v for k, v in TAGS.items()}, label2id={v: int(k) for k, v in TAGS.items()}, **sizes)
    net = model_class(config).eval()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "LayerNorm" not in name and "layer_norm" not in name: p.zero_()
        words = next(p for name, p in net.named_parameters() if name.endswith("word_embeddings.weight"))
        words[:, 0] = 4.
        for w, k in WORDS.items(): words[tokenizer.token_to_id(w), 0], words[tokenizer.token_to_id(w), k] = 0., 4.
        for k in range(5): net.classifier.weight[k, k] = 6.
    net.save_pretrained(folder)
    return described(folder)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    from transformers import BertConfig, BertForTokenClassification
    return looking_up(BertForTokenClassification, BertConfig, tmp_path_factory.mktemp("c") / "bert", hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory):
    from transformers import DistilBertConfig, DistilBertForTokenClassification
    return looking_up(DistilBertForTokenClassification, DistilBertConfig, tmp_path_factory.mktemp("c") / "distil", dim=32, n_layers=1, n_heads=2, hidden_dim=64)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = described(tmp_path_factory.mktemp("c") / "onnx", model_type="anything")
    table = np.tile(np.float32([5, 0, 0, 0, 0]), (base("").tokenizer.get_vocab_size(), 1))
    for w, k in WORDS.items(): table[base("").tokenizer.token_to_id(w)] = 5 * np.eye(5)[k]
    value = lambda name, kind, dims: helper.make_tensor_value_info(name, kind, dims)
    graph = helper.make_graph([helper.make_node("Gather", ["table", "input_ids"], ["logits"])], "g", [value("input_ids", TensorProto.INT64, ["n", "t"])], [value("logits", TensorProto.FLOAT, ["n", "t", 5])], [numpy_helper.from_array(table, "table")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.parametrize("which", ["bert", "distilbert", "exported"])
def test_every_kind_finds_the_same(which, request):
    c = Checkpoint(str(request.getfixturevalue(which)))
    assert c.kind == {"bert": "bert", "distilbert": "torch", "exported": "onnx"}[which]
    found = c.tag([TEXT, "", "insulin " * 700])
    assert [(TEXT[a:b], label) for a, b, label, _ in found[0]] == [("insulin", "Chemical"), ("fever", "Disease"), ("warfarin", "Chemical")]
    assert found[1] == [] and len(found[2]) == 700 and all(p > .5 for *_, p in found[2])


def test_a_checkpoint_in_place_of_the_default(bert, monkeypatch):
    monkeypatch.setenv("HEALTHLAB_NLP_MODEL", str(bert))
    found = recognise(["A 60-year-old man was given insulin for fever; a pacemaker was placed."])[0]
    assert [(e.text, e.label) for e in found] == [("60-year-old", "Age"), ("man", "Gender"), ("insulin", "MedicationName"), ("fever", "Diagnosis"), ("pacemaker", "MedicalDevice")]
    monkeypatch.setenv("HEALTHLAB_NLP_CATEGORIES", "Disease=SymptomOrSign")
    assert next(e.label for e in recognise(["He had fever."])[0]) == "SymptomOrSign"
    with pytest.raises(HealthlabError, match="no heads"): recognise(["x"], head="bc5cdr")


def test_tags_of_every_habit():
    words = [(0, n * 5, n * 5 + 4, n) for n in range(4)]
    spans = lambda *tags: [s[:3] for s in joined(words, np.eye(4), list(tags))]
    assert spans("B-X", "I-X", "O", "S-X") == [(0, 9, "X"), (15, 19, "X")]
    assert spans("B-X", "E-X", "I-X", "I-Y") == [(0, 9, "X"), (10, 14, "X"), (15, 19, "Y")]
    assert spans("X", "X", "LABEL_O", "Y") == [(0, 9, "X"), (15, 19, "Y")]
    assert category("PROBLEM") == "Diagnosis" and category("cell line") == "cell line"


def test_what_names_a_checkpoint(bert, tmp_path):
    assert named(str(bert)) and named("someone/bio-ner") and named("x/model.onnx") and not named("ner")
    (tmp_path / "card.json").write_text("{}")
    assert not named(str(tmp_path))


def test_what_is_no_token_classifier(bert, tmp_path):
    def refused(code, name):
        with pytest.raises(HealthlabError) as e: checkpoint(str(name)).tag(["x"])
        assert e.value.code == code and str(tmp_path) not in str(e.value)
    refused("checkpoint-config", described(tmp_path / "a"))
    refused("checkpoint-labels", described(tmp_path / "b", model_type="x", id2label={}))
    shutil.copytree(bert, tmp_path / "d")
    (tmp_path / "d" / "config.json").write_text(json.dumps(json.loads((bert / "config.json").read_text()) | {"id2label": {"0": "O", "1": "B-X"}}))
    refused("checkpoint-labels", tmp_path / "d")
    refused("checkpoint-labels", base("").folder)
    (described(tmp_path / "e", model_type="distilbert") / "model.safetensors").write_bytes(b"broken")
    refused("checkpoint-load", tmp_path / "e")
