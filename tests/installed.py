"""A package with entry points, laid out in a folder as pip leaves it."""

from pathlib import Path


def install(folder: Path, module: str, points: str, source: str, version: str = "1.0") -> Path:
    """Put the package of one module there; its file. Who puts the folder on its path has it."""
    name = module.replace("_", "-")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(points)
    file = folder / f"{module}.py"
    file.write_text(source)
    return file
