"""`bas study`: people judge an evaluation's pictures, blind."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bas_tui.cli import options, stderr, stdout

if TYPE_CHECKING:
    from engine.evaluate.study import Study, Trial

app = typer.Typer(no_args_is_help=True, help="Let people judge an evaluation's pictures, blind.")

CARD_GAP = 12


def complete_study(incomplete: str) -> list[str]:
    """Names of studies for the shell."""
    from engine.evaluate.study import studies_dir

    names = sorted(path.parent.name for path in studies_dir().glob("*/study.json"))
    return [name for name in names if name.startswith(incomplete)]


StudyArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        help="A study's name or folder.",
        autocompletion=complete_study,
        show_default="the newest",
    ),
]


@app.command()
def new(
    evaluation: Annotated[
        str | None,
        typer.Argument(metavar="[EVALUATION]", help="Whose pictures.", show_default="the newest"),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", show_default="the evaluation's name")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="Pictures of each method.")] = 10,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="A method; may be repeated.", show_default="all"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice.")] = 0,
) -> None:
    """Draw blind trials from an evaluation's pictures.

    Example:  bas study new pocket-small --pictures 12
    """
    from engine.evaluate.job_plan import find_evaluation
    from engine.evaluate.study import create_study

    folder = find_evaluation(evaluation)
    study = create_study(
        folder, name or folder.name, pictures=pictures, seed=seed, methods=methods or ()
    )
    checks = sum(bool(secret.check) for secret in study.secrets().values())
    stderr.say(f"{len(study.trials())} trials, {checks} of them attention checks")
    stderr.say(f"rate here: bas study rate {study.name} · for others: bas study page {study.name}")
    stdout.line(study.name)


@app.command()
def rate(
    name: StudyArgument = None,
    rater: Annotated[str, typer.Option("--rater", prompt="Your name", help="Who rates.")] = "",
    images: options.ImagesOption = options.Images.auto,
) -> None:
    """Rate the trials here, 1 to 5; q ends, and the next time goes on.

    Example:  bas study rate pocket-small --rater anna
    """
    from engine.core.errors import UserError
    from engine.evaluate.study import RATER, Rating, find_study
    from engine.evaluate.study_page import IDENTITY_QUESTION, PROMPT_QUESTION

    study = find_study(name)
    if not RATER.fullmatch(rater):
        raise UserError(f"{rater!r} cannot name a rater", "use letters and digits")
    if not stderr.is_interactive():
        raise UserError("rating needs a terminal", f"send a page: bas study page {study.name}")
    answers = {rating.trial: rating for rating in study.ratings().get(rater, ())}
    order = study.order(rater)
    left = [trial for trial in order if trial.id not in answers]
    if not left:
        stderr.say(f"{rater} has rated all {len(order)} trials; see bas study report {study.name}")
        return
    for trial in left:
        stderr.say(f"\n{len(answers) + 1} of {len(order)}   “{trial.prompt}”", "bold")
        _show(study, trial, images)
        identity = _ask(f"{IDENTITY_QUESTION} (1-5, q)")
        fit = _ask(f"{PROMPT_QUESTION} (1-5, q)") if identity else None
        if identity is None or fit is None:
            break
        answers[trial.id] = Rating(trial=trial.id, identity=identity, prompt=fit)
        study.save_ratings(rater, tuple(answers.values()))
    stderr.say(f"{len(answers)} of {len(order)} trials are rated")


@app.command()
def page(
    name: StudyArgument = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", show_default="STUDY.html")
    ] = None,
) -> None:
    """Write one HTML page that raters open in a browser; it saves a JSON file.

    Example:  bas study page pocket-small --out rate.html
    """
    from engine.evaluate.study import find_study
    from engine.evaluate.study_page import study_page

    study = find_study(name)
    path = out or Path(f"{study.name}.html")
    _write(path, study_page(study))
    stderr.say(f"take in the files it saves with: bas study add {study.name} FILE.json")
    stdout.line(str(path))


@app.command()
def add(
    name: Annotated[
        str, typer.Argument(metavar="STUDY", autocompletion=complete_study, help="Which study.")
    ],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE.json...", help="Files that the page saved.")
    ],
) -> None:
    """Take in raters' files; a rater's second file replaces the first.

    Example:  bas study add pocket-small anna.json ben.json
    """
    from engine.evaluate.study import find_study

    study = find_study(name)
    for file in files:
        stderr.say(f"{study.add_ratings(file)}: {file}")


@app.command()
def report(
    name: StudyArgument = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.md", help="Write it there too.")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Means, tests and agreement of all raters, laid out as the paper's table.

    Example:  bas study report pocket-small
    """
    import math

    from engine.evaluate.study import find_study
    from engine.evaluate.study_analysis import analyse, table_lines

    study = find_study(name)
    result = analyse(study)
    if as_json:
        record = result._asdict() | {
            key: [
                {
                    k: None if isinstance(v, float) and math.isnan(v) else v
                    for k, v in row._asdict().items()
                }
                for row in getattr(result, key)
            ]
            for key in ("rows", "tests", "pairs")
        }
        stdout.json_line(record)
    else:
        for line in table_lines(result):
            stdout.line(line)
    if out is not None:
        text = "\n".join([f"# User study {study.name}", "", *table_lines(result)]) + "\n"
        _write(out, text)


def _write(path: Path, text: str) -> None:
    from engine.core.errors import UserError
    from engine.files.atomic import write_atomic

    try:
        write_atomic(path, text.encode())
    except OSError as problem:
        raise UserError(
            f"cannot write {path}: {problem.strerror}", "choose another --out"
        ) from problem


def _ask(question: str) -> int | None:
    """A number from 1 to 5, asked for until it is one; None for q or the end of input."""
    from engine.evaluate.study import HIGH, LOW

    while True:
        answer = stderr.ask(question)
        if answer in ("q", "quit", None):
            return None
        if answer.isdigit() and LOW <= int(answer) <= HIGH:
            return int(answer)
        stderr.say(f"please {LOW} to {HIGH}, or q")


def _show(study: Study, trial: Trial, images: options.Images) -> None:
    """The things to show beside the picture, as one card."""
    from PIL import Image

    def opened(name: str) -> Image.Image:
        with Image.open(study.path / name, formats=("PNG",)) as file:
            return file.convert("RGB")

    side = 256
    things = [opened(name).resize((side // 2, side // 2)) for name in trial.references]
    picture = opened(trial.picture).resize((side, side), Image.Resampling.BICUBIC)
    columns = -(-len(things) // 2)
    card = Image.new("RGB", (columns * side // 2 + CARD_GAP + side, side), (40, 40, 40))
    for index, thing in enumerate(things):
        card.paste(thing, (index // 2 * side // 2, index % 2 * side // 2))
    card.paste(picture, (columns * side // 2 + CARD_GAP, 0))
    with tempfile.TemporaryDirectory(prefix="bas-") as folder:
        path = Path(folder) / "card.png"
        card.save(path)
        stdout.picture(path, images.value)
