"""`vae init`: the folder it writes, and every command of its README."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from jsonschema import Draft201909Validator

from vaekit.project import sample, sensors
from vaekit.project.files import SAMPLE, config
from vaekit_training.config import load_config
from vaekit_training.infer import infer

ROOT = Path(__file__).parents[2]


def vae(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vaekit", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)


def commands(readme: str) -> list[list[str]]:
    """The commands in the README's shell block."""
    (block,) = re.findall(r"^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for line in block.splitlines()]


def compose(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "docker-compose.yml").read_text())
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project") / "pumps"
    done = vae("init", str(folder), cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(folder / name) for name in sample().files]
    assert done.stderr == f"next: cd {folder} && vae train config.toml\n"
    return folder


def serves(folder: Path, words: list[str]) -> None:
    """Check that a command serves the models of the folder, and that Ctrl-C ends it with code 0."""
    command = [sys.executable, "-m", "vaekit", *words, "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert any(line.startswith("try:") for line in process.stdout), "the service ended before it was ready"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def run_commands(folder: Path) -> None:
    for program, *words in commands((folder / "README.md").read_text()):
        if words == ["serve"]:
            serves(folder, words)
        elif program == "vae":
            done = vae(*words, cwd=folder)
            assert done.returncode == 0, done.stderr
        else:
            assert [program, *words] == ["docker", "compose", "up"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_command_of_the_written_readme_runs_and_finds_the_faults(project: Path) -> None:
    run_commands(project)
    with (project / "scored.csv").open() as file:
        rows = list(csv.DictReader(file))
    faults = [row for row in rows if row["fault"]]
    assert len(faults) == len(sensors.FAULTS)
    assert sum(row["is_anomaly"] == "true" for row in faults) >= 9
    normal = [row for row in rows if not row["fault"]]
    assert sum(row["is_anomaly"] == "true" for row in normal) <= 6  # 1.9 on average
    of_columns = {row: column for row, (_, column, _, _) in sensors.FAULTS.items()}
    named = [rows[row]["odd_1"] == column for row, column in of_columns.items()]
    assert sum(named) >= 9


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="needs docker-compose")
def test_docker_compose_reads_the_file_and_takes_the_image_from_a_variable(project: Path) -> None:
    for variables, image in (({}, "vaekit-service"), ({"VAEKIT_IMAGE": "store.example/vaekit:2"}, None)):
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **variables}
        command = ["docker-compose", "config"]
        done = subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, text=True)
        service = yaml.safe_load(done.stdout)["services"]["service"]
        assert service["image"] == (image or variables["VAEKIT_IMAGE"])


def test_the_compose_file_has_the_settings_of_the_repository(project: Path) -> None:
    written = compose(project)
    schema = json.loads((ROOT / "tests" / "packaging" / "compose-spec.json").read_text())
    Draft201909Validator(schema).validate(written)
    own = written["services"]["service"]
    repository = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["service"]
    assert own.pop("image") == f"${{VAEKIT_IMAGE:-{repository.pop('image')}}}"
    left_out = {"profiles", "build"}
    assert own == {key: value for key, value in repository.items() if key not in left_out}
    assert (project / "models").is_dir()  # the container cannot make it


def test_the_readme_of_the_sample_scores_new_rows(project: Path) -> None:
    readme = (project / "README.md").read_text()
    assert "vae score sensors data/new.csv" in readme
    assert "these are the training rows" not in readme
    assert "{{" not in readme


def test_the_config_of_the_sample_is_what_vae_train_infers(project: Path) -> None:
    tree, _ = infer(str(project / "data" / "normal.csv"))
    written = tomllib.loads((project / "config.toml").read_text())
    assert written == SAMPLE
    for section in ("likelihood", "prior"):
        assert written[section] == tree[section]
    assert written["data"]["exclude"] == tree["data"]["exclude"]
    assert load_config(project / "config.toml").name == "sensors"


def test_the_commented_hints_of_the_config_are_valid_settings(project: Path) -> None:
    text = (project / "config.toml").read_text()
    head, _, hints = text.partition("# Settings that are often changed")
    uncommented = re.sub(r"^# ?", "", hints.partition("\n")[2], flags=re.MULTILINE)
    merged = tomllib.loads(uncommented)
    path = project / "hints.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in merged["data"].items() if key != "folds"]
    path.write_text(head.replace("[data]\n", "\n".join(["[data]", *lines, ""])) + "[ignore.temperature_c]\nabove = 2.0")
    loaded = load_config(path)
    path.unlink()
    assert loaded.data.label == "fault"
    assert loaded.ignore["temperature_c"].above == merged["ignore"]["temperature_c"]["above"] == 2.0
    assert merged["data"]["folds"] == 5


@pytest.mark.parametrize("name", sample().files)
def test_an_existing_file_is_never_replaced_and_nothing_else_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    done = vae("init", ".", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: {name}: exists already; nothing was written. Name another folder\n"
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_init_writes_into_a_folder_that_has_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = vae("init", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "next: vae train config.toml\n"


@pytest.fixture
def own_csv(tmp_path: Path) -> Path:
    """A table with a text column, empty cells, an identifier and names that TOML must quote."""
    random = np.random.default_rng(0)
    path = tmp_path / "my data" / "Line 3.csv"
    path.parent.mkdir()
    header = 'id,"temp ""hot"", °C",site,load'
    cells = random.normal(20, 2, (150, 2))
    lines = [f"row-{i},{a:.3f},{'AB'[i % 2]},{'' if i % 9 == 0 else f'{b:.3f}'}" for i, (a, b) in enumerate(cells)]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_project_of_the_users_own_csv_works_and_leaves_the_file_where_it_is(own_csv: Path, tmp_path: Path) -> None:
    folder = tmp_path / "projects" / "line"
    done = vae("init", str(folder), "--data", str(own_csv), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "missing cells are left out of the ELBO" in done.stderr
    written = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    assert written["name"] == "line-3"
    assert written["data"]["source"] == "../../my data/Line 3.csv"
    assert written["data"]["exclude"] == ["id"]
    assert not (folder / "data").exists()
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert (
        "`../../my data/Line 3.csv` is only an example for `vae score` and `vae explain`: these are the training"
        in readme
    )
    assert "{{" not in readme
    run_commands(folder)


def test_a_config_quotes_what_toml_must_quote() -> None:
    names = ['a "b"', "back\\slash", "°C", "tab\there", "# no comment", "\x7f"]
    tree = {"name": "x", "data": {"source": names[0], "exclude": names}, "training": {"steps": 5, "seed": 1}}
    assert tomllib.loads(config(tree, ["a remark\nin two lines"])) == tree


def test_labels_of_the_users_own_data_are_in_the_config_and_never_modelled(own_csv: Path, tmp_path: Path) -> None:
    words = ["init", "line", "--data", str(own_csv), "--label", "site", "--anomaly", "B", "--json"]
    done = vae(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["model"], len(shown["files"])) == ("line-3", 5)
    loaded = load_config(tmp_path / "line" / "config.toml").data
    assert (loaded.label, loaded.anomalies) == ("site", ("B",))
    assert "site" not in loaded.exclude


def test_labels_without_data_are_refused(tmp_path: Path) -> None:
    done = vae("init", "line", "--label", "site", cwd=tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert done.stderr == "error: --label, --anomaly and --delimiter: describe your own rows; name them with --data\n"


def test_data_that_do_not_exist_are_one_line(tmp_path: Path) -> None:
    done = vae("init", "new", "--data", "none.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: data 'none.csv': no such file or folder")
    assert not (tmp_path / "new").exists()


def test_every_fault_of_the_sample_is_within_the_range_of_normal_rows() -> None:
    normal, new = (list(csv.DictReader(text.splitlines())) for text in (sensors.normal_csv(), sensors.new_csv()))
    assert (len(normal), len(new)) == (sensors.NORMAL_ROWS, sensors.NEW_ROWS)
    for row, (fault, column, _, _) in sensors.FAULTS.items():
        assert new[row]["fault"] == fault
        low, high = (limit(float(one[column]) for one in normal) for limit in (min, max))
        assert low <= float(new[row][column]) <= high, (row, column)
    assert {one["fault"] for i, one in enumerate(new) if i not in sensors.FAULTS} == {""}


def test_the_how_to_shows_the_files_and_the_commands_of_the_project(project: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "start-a-project.md").read_text()
    blocks = [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]
    written = [shlex.join(words) for words in commands((project / "README.md").read_text())]
    assert [line for line in written if line.startswith("vae ")] in blocks
    named = {name for row in re.findall(r"^\| (`.+?) \|", page, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)}
    assert named == {"models/", *sample().files} - {"models/.gitkeep"}


def test_the_next_command_enters_a_folder_whose_name_begins_with_a_dash(tmp_path: Path) -> None:
    done = vae("init", "--", "-pumps", cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == "next: cd -- -pumps && vae train config.toml"
