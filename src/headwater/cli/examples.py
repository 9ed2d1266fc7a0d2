"""Examples of each command as ``--help`` shows them; a test runs every one of them, in this order."""

from __future__ import annotations

__all__ = ["COMMANDS", "EXAMPLES"]

COMMANDS = {
    "headwater": ("headwater demo --quick", "headwater models"),
    "demo": ("headwater demo --quick",),
    "inspect": (
        "headwater inspect moons.csv",
        "headwater inspect pictures --sheet sheet.png",
        "headwater inspect people.csv --schema schema.json",
        "headwater inspect people.csv --set data.columns.age.type=real",
    ),
    "fit": (
        "headwater fit moons.csv --out runs/moons-nsf --steps 200",
        "headwater fit moons.csv -m made --out runs/moons-made --steps 200",
        "headwater fit pictures -m vae --out runs/pictures-vae --epochs 2",
        "headwater fit people.csv -m made --minutes 0.1 --set optimizer.lr=3e-4",
        "headwater fit people.csv --model nsf --dry-run",
    ),
    "resume": ("headwater resume runs/moons-nsf --steps 300",),
    "sample": (
        "headwater sample runs/moons-nsf -n 1000 --out new.csv",
        "headwater sample runs/pictures-vae -n 16 --label a --out pictures.png",
    ),
    "score": ("headwater score runs/moons-nsf moons.csv --out scores.csv",),
    "evaluate": ("headwater evaluate runs/moons-nsf", "headwater evaluate runs/moons-made --split valid"),
    "plot": (
        "headwater plot runs/moons-nsf --frames 8",
        "headwater plot runs/pictures-vae --out plots",
    ),
    "compare": ("headwater compare runs/moons-nsf runs/moons-made --report report.html",),
    "models": ("headwater models", "headwater models '*flow*'"),
    "variants": (
        "headwater variants fit family.a2m --out runs/family --seeds 1 --steps 20",
        "headwater variants score runs/family A1C p.Ala1Cys",
    ),
    "variants build": ("headwater variants build target.fasta database.fasta --out built.a2m",),
    "variants fit": (
        "headwater variants fit family.a2m --out runs/family --seeds 1 --steps 20",
        "headwater variants fit alignments --out runs/queue --shard 1/2 --members sites",
    ),
    "variants score": (
        "headwater variants score runs/family --out effects.csv",
        "headwater variants score runs/family --variants assay.csv --out assayed.csv",
    ),
    "variants classify": ("headwater variants classify effects.csv --out classes.csv --save mixture.json",),
    "variants evaluate": ("headwater variants evaluate runs/family --assay assay.csv --labels labels.csv",),
    "variants report": (
        "headwater variants report runs/family --assay assay.csv --labels labels.csv --out report.html",
    ),
    "checks": ("headwater checks",),
    "cite": ("headwater cite runs/moons-nsf",),
    "completion": ("headwater completion bash",),
}

EXAMPLES = {name: "Examples:\n\n" + "\n\n".join(f"  {line}" for line in lines) for name, lines in COMMANDS.items()}
