"""The pipeline of glob-lite. Try it: danube run examples/rust"""

from danube import pipeline, step

CLIPPY = """
if cargo clippy --version; then
    cargo clippy --locked --offline --all-targets -- -D warnings
else
    echo "this toolchain has no clippy"
fi
"""


@pipeline(name="glob-lite", timeout="15m")
def glob_lite() -> None:
    step.run("cargo --version && rustc --version", name="toolchain")
    step.run("cargo build --locked --offline --all-targets", name="build")

    with step.group("test"):
        step.run("cargo test --locked --offline --lib --bins", name="unit tests")
        step.run("cargo test --locked --offline --doc", name="examples in the documentation")

    step.run(CLIPPY, name="clippy")

    found = step.run(
        "printf 'src/lib.rs\\nREADME.md\\nsrc/class.rs\\n' | cargo run -q --locked --offline -- 'src/**/*.rs'",
        name="try it",
        capture=True,
    )
    if found.stdout.split() != ["src/lib.rs", "src/class.rs"]:
        raise AssertionError(f"glob-lite found {found.stdout!r}")
