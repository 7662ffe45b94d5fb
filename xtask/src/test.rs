//! `./x test`: every check the project has, in order, up to the first that fails.

use crate::process::{Beside, cargo, command, run, run_reading};
use crate::{dist, scripts, tools};
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

type Step = fn(&mut Counts) -> Result<()>;

const STEPS: &[(&str, Step)] = &[
    ("tools", |_| tools::setup()),
    ("format", |_| run(&mut cargo("fmt --all --check"))),
    ("lint native", |_| lint("--workspace --all-targets")),
    ("lint component", |_| lint_wasm("--lib --features component")),
    ("lint component p3", |_| lint_wasm("--lib --features component-p3")),
    ("lint cli", |_| lint_wasm("--lib --features cli")),
    ("lint browser", |_| lint_wasm("--lib --test browser --test opfs --features browser")),
    ("native tests", |counts| count(counts, &mut cargo_test("--package ipfs-kit-storage --package xtask"))),
    ("browser tests", browser_tests),
    ("dist", |_| dist::build(&[])),
    ("counterparts", counterpart_tests),
    ("wasmtime tests", wasmtime_tests),
    ("Python", python_tests),
    ("npm package in Node", |counts| node_tests(counts, &["tests/node"])),
    ("npm package in pages", |counts| node_tests(counts, &["tests/page", "tests/page/helia"])),
    ("npm package bundled", |counts| node_tests(counts, &["tests/bundlers", "tests/page"])),
    ("web app", |counts| node_tests(counts, &["tests/app", "tests/page"])),
    ("API documentation", |_| scripts::docs()),
];

/// What brings wasmtime with it, the components' tests and the example, takes longest to compile. In a folder of its own that is
/// done beside the steps before it, of which many use one processor; what is left of it then, its step waits for.
const HOST_TESTS: &str = "--package wasmtime-host-tests --package wasmtime-host --target-dir target/hosts";

/// Prints each step's output, then a table, and alone on the last line the sum.
pub fn run_all() -> Result<ExitCode> {
    let _compiling = Beside::start(&mut cargo(&format!("test --no-run {HOST_TESTS}")))?;
    let mut total = Counts::default();
    let mut table = format!("\n{:<20}{:>8}{:>8}{:>10}\n", "step", "passed", "failed", "seconds");
    let mut failure = None;
    for &(name, step) in STEPS {
        println!("\n== {name}");
        let start = Instant::now();
        let mut counts = Counts::default();
        if let Err(error) = step(&mut counts) {
            failure = Some(error.context(format!("step `{name}` failed")));
            counts.failed = counts.failed.max(1);
        }
        let seconds = start.elapsed().as_secs_f64();
        let Counts { passed, failed } = counts;
        table += &format!("{name:<20}{passed:>8}{failed:>8}{seconds:>10.1}\n");
        total.passed += passed;
        total.failed += failed;
        if failure.is_some() {
            break;
        }
    }
    println!("{table}");
    if let Some(error) = &failure {
        println!("error: {error:#}; the steps after it did not run\n");
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lint(what: &str) -> Result<()> {
    run(cargo("clippy").args(what.split(' ')).args(["--", "-D", "warnings"]))
}

fn lint_wasm(what: &str) -> Result<()> {
    lint(&format!("--target wasm32-unknown-unknown {what}"))
}

fn cargo_test(what: &str) -> Command {
    cargo(&format!("test --no-fail-fast {what}"))
}

fn browser_tests(counts: &mut Counts) -> Result<()> {
    tools::wasm_bindgen()?;
    let target = "--target wasm32-unknown-unknown --features browser --test browser --test opfs";
    let mut tests = cargo_test(target);
    tests
        .env("CHROMEDRIVER", tools::chromedriver()?)
        .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", std::path::absolute("webdriver.json")?)
        .env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "60")
        .env("WASM_BINDGEN_TEST_TIMEOUT", "600");
    count(counts, &mut tests)
}

const NODE_TEST: [&str; 4] = ["--test", "--test-reporter=spec", "--test-timeout=600000", "--test-force-exit"];

/// The built npm package, by the tests in the first of these folders; all of them have packages that these need.
fn node_tests(counts: &mut Counts, folders: &[&str]) -> Result<()> {
    folders.iter().try_for_each(|folder| tools::npm_packages(Path::new(folder)))?;
    let mut node = command(tools::node()?);
    node.current_dir(folders[0]).args(NODE_TEST).envs(tools::hosts()?);
    count(counts, &mut node)
}

fn wasmtime_tests(counts: &mut Counts) -> Result<()> {
    dist::build(&["cancelling".to_owned()])?;
    count(counts, &mut cargo_test(HOST_TESTS))
}

/// The servers that the tests of both homes talk to.
fn counterpart_tests(counts: &mut Counts) -> Result<()> {
    let mut node = command(tools::node()?);
    count(counts, node.current_dir("tests/counterparts").args(NODE_TEST))
}

/// The Python class over the components.
fn python_tests(counts: &mut Counts) -> Result<()> {
    let directory = Path::new("examples/python");
    let mut python = command(tools::python(&directory.join("requirements.txt"))?);
    count(counts, python.current_dir(directory).args(["-m", "pytest", "-v", "--color=no", "-p", "no:cacheprovider"]))
}

#[derive(Default, Debug, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
}

/// Runs tests and adds up what they report; reporting none is a failure too.
fn count(counts: &mut Counts, tests: &mut Command) -> Result<()> {
    run_reading(tests, |line| counts.read(line).unwrap_or_default())?;
    ensure!(counts.failed == 0, "{} tests failed", counts.failed);
    ensure!(counts.passed > 0, "no test ran");
    Ok(())
}

impl Counts {
    /// Takes note of a summary by cargo (`test result: ok. 2 passed; 0 failed; ...`), by Node (`# pass 2` or `ℹ pass 2`, then
    /// the same with `fail`), or by pytest (`=== 1 failed, 2 passed in 0.12s ===`).
    fn read(&mut self, line: &str) -> Option<()> {
        if let Some((_, result)) = line.split_once("test result: ") {
            let (_, numbers) = result.split_once(". ")?;
            let mut numbers = numbers.split("; ").map(|part| part.split_once(' '));
            let mut next = || numbers.next()??.0.parse::<u64>().ok();
            self.passed += next()?;
            self.failed += next()?;
        } else if let Some((_, summary)) = line.split_once("# ").or(line.split_once("ℹ ")) {
            match summary.split_once(' ')? {
                ("pass", number) => self.passed += number.parse::<u64>().ok()?,
                ("fail", number) => self.failed += number.parse::<u64>().ok()?,
                _ => {}
            }
        } else if let Some((summary, _)) = line.trim_matches('=').rsplit_once(" in ") {
            for (number, what) in summary.split(", ").filter_map(|part| part.trim().split_once(' ')) {
                match what {
                    "passed" => self.passed += number.parse::<u64>().ok()?,
                    "failed" | "error" | "errors" => self.failed += number.parse::<u64>().ok()?,
                    _ => {}
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lines: &[&str]) -> Counts {
        let mut counts = Counts::default();
        for line in lines {
            counts.read(line);
        }
        counts
    }

    #[test]
    fn adds_up_cargo_summaries() {
        let read = counts(&[
            "test store::tests::passes ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ]);
        assert_eq!(read, Counts { passed: 15, failed: 2 });
    }

    #[test]
    fn adds_up_node_summaries() {
        let read = counts(&["ok 1 - opens # time", "# tests 5", "# pass 4", "# fail 1", "ℹ pass 7", "ℹ fail 0"]);
        assert_eq!(read, Counts { passed: 11, failed: 1 });
    }

    #[test]
    fn adds_up_pytest_summaries() {
        let read = counts(&[
            "tests/test_verbs.py::test_passed in 3 ways PASSED",
            "========= 3 passed, 1 skipped in 0.12s =========",
            "== 1 failed, 2 passed, 2 warnings, 3 errors in 60.12s (0:01:00) ==",
        ]);
        assert_eq!(read, Counts { passed: 5, failed: 4 });
    }

    #[test]
    fn ignores_other_lines() {
        let read = counts(&["test result: odd", "# pass many", "4 passed; 5 failed", "many passed in 3s"]);
        assert_eq!(read, Counts::default());
    }
}
