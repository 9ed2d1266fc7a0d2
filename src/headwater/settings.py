"""The settings of a run, as ``config.toml`` and ``--set section.key=value`` spell them.

Every key of every section is here, except those of the section ``model``: beside
``name`` it holds the settings of the model that the name stands for, and the
model's own ``Config`` checks them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from headwater.config import Config

__all__ = ["AlignmentSettings", "DataSettings", "OptimizerSettings", "RunSettings", "TrainingSettings"]


class AlignmentSettings(Config):
    """How an alignment of protein sequences is read: which columns, which sequences, what each counts."""

    format: Literal["auto", "a2m", "a3m", "fasta", "stockholm"] = Field(
        "auto", description="what the file must be; auto finds it out. a3m leaves out lower case and dots"
    )
    focus: str | None = Field(None, description="name of the target's sequence; None: the first")
    columns: Literal["all", "upper"] = Field(
        "all", description="all residues of the target (EVE), or only its upper-case ones (DeepSequence)"
    )
    fragments: float = Field(0.5, ge=0, le=1, description="greatest share of gaps that a sequence may have")
    column_gaps: float = Field(
        0.3, ge=0, le=1, description="greatest share of gaps that a position may have; 1: model every position"
    )
    unknown: Literal["drop", "gap"] = Field(
        "drop",
        description="sequences with an unknown residue (B, J, O, U, X, Z) in a modelled position: left out,"
        " or read as a gap",
    )
    theta: float = Field(
        0.2, ge=0, lt=1, description="sequences less than this share apart count as one; viruses: 0.01"
    )
    weights: Literal["eve", "evcouplings", "none"] = Field("eve", description="how sequences are weighted")


class DataSettings(Config):
    """Where the data is and how to read it; what is left out is detected."""

    path: str | None = Field(None, description="file or folder; None for data given in Python")
    kind: Literal["auto", "arrays", "images", "table", "alignment"] = Field("auto", description="how to read it")
    schema_path: str | None = Field(None, description="a schema.json that replaces detection")
    label: str | None = Field(None, description="label column, array key or 'folder'; 'none' to ignore labels")
    target: str | None = Field(None, description="column that utility is measured on; None: the label, if any")
    columns: dict[str, dict[str, Any]] = Field({}, description="overrides per column: columns.age.type='integer'")
    key: str | None = Field(None, description="which array of an .npz holds the events")
    image_size: tuple[int, int] | None = Field(None, description="height, width to resize to; None keeps the majority")
    channels: Literal[1, 3, 4] | None = Field(None, description="channels to convert to; None keeps the majority")
    valid: float = Field(0.1, gt=0, lt=1, description="share held out for early stopping and tuning")
    test: float = Field(0.1, gt=0, lt=1, description="share held out for the final figures")
    split_seed: int = Field(0, description="another seed, another split")
    skip: float = Field(0.05, ge=0, le=1, description="greatest share of unreadable records to pass over")
    max_rows: int | None = Field(None, ge=2, description="use only the first rows")
    delimiter: str | None = Field(None, max_length=1, description="CSV delimiter; None detects it")
    header: bool | None = Field(None, description="whether a CSV has a header line; None detects it")
    categorical: Literal["embed", "order"] = Field(
        "embed", description="how real encodings carry categories: a vector per category, or dequantized codes"
    )

    alignment: AlignmentSettings = AlignmentSettings()

    @model_validator(mode="after")
    def _leave_rows_to_train_on(self) -> DataSettings:
        if self.valid + self.test >= 1:
            raise ValueError("valid + test must leave rows to train on (less than 1)")
        return self


class OptimizerSettings(Config):
    """AdamW and its schedule."""

    lr: float = Field(1e-3, gt=0, description="learning rate at its height")
    betas: tuple[float, float] = Field((0.9, 0.999), description="decay of Adam's moments")
    eps: float = Field(1e-8, gt=0, description="Adam's epsilon")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay, on matrices only")
    schedule: Literal["constant", "cosine", "linear"] = Field("cosine", description="learning rate after warm-up")
    warmup: int = Field(100, ge=0, description="steps of linear warm-up")
    clip: float | None = Field(5.0, gt=0, description="largest global gradient norm; None: no clipping")


class TrainingSettings(Config):
    """Budget, pace and safety of the training loop. The first budget reached ends it."""

    steps: int | None = Field(None, ge=1, description="budget in optimizer steps")
    epochs: float | None = Field(None, gt=0, description="budget in passes over the training rows")
    minutes: float | None = Field(None, gt=0, description="budget in minutes")
    batch_size: int = Field(256, ge=1, description="events per step, over all processes")
    ema: float = Field(0.999, ge=0, lt=1, description="decay of the averaged weights; 0: none")
    patience: int | None = Field(10, ge=1, description="evaluations without improvement before stopping; None: never")
    evaluate_every: int | None = Field(None, ge=1, description="steps between held-out evaluations; None: chosen")
    sample_every: int | None = Field(
        None, ge=1, description="steps between sample sheets; None: at evaluations, in 3 % of the time"
    )
    checkpoint_every: int | None = Field(None, ge=1, description="steps between checkpoints; None: at each evaluation")
    keep: int = Field(2, ge=1, description="newest checkpoints to keep, beside the best")
    label_dropout: float = Field(0.1, ge=0, lt=1, description="share of events whose context is hidden while training")
    compile: Literal["auto", "on", "off"] = Field("auto", description="torch.compile: when the budget pays for it")
    precision: Literal["float32", "reduced", "bfloat16", "float64"] = Field(
        "float32",
        description="of the forward pass; reduced: float32 with the factors of matrix products rounded (to bfloat16 on"
        " CPUs, TF32 on GPUs), faster where the processor has units for it",
    )
    rollbacks: int = Field(3, ge=0, description="returns to the last good state, at half the rate, before giving up")
    workers: int = Field(0, ge=0, le=64, description="threads that read ahead; the order never depends on it")


class RunSettings(Config):
    """All settings of a run."""

    seed: int = Field(0, ge=0, lt=2**62, description="seed of weights, order and noise")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    model: dict[str, Any] = Field({"name": "nsf"}, description="name and the settings of that model")
    data: DataSettings = DataSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    training: TrainingSettings = TrainingSettings()
