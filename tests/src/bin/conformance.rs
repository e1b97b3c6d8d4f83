//! The conformance suite on the command line: one table, and an exit code that CI can read.

use std::process::ExitCode;

use rustk8s_tests::conformance::cluster::{IMPOSSIBLE, Oddity};
use rustk8s_tests::conformance::options::{self, OPTION_SETS};
use rustk8s_tests::conformance::question::Query;
use rustk8s_tests::conformance::runner::{self, Options};
use rustk8s_tests::conformance::server::{Program, ServerKind};

const USAGE: &str = "\
Compares a server with CoreDNS v1.15.0: generated clusters, every option, every kind of question.

usage: conformance [OPTION...]

  --server host|coredns|PATH  the server under test: the newest build of rustk8s (default), the reference itself,
                              or a program that takes -conf FILE -dns.port N
  --directive NAME            its directive, when it is not `kubernetes`
  --option TEXT               an option added to its directive (may be repeated), as `--option 'engine wasm'`
  --seeds A-B | N             the seeds to run; default 1
  --sets NAME,...             the option sets; default all (--list names them)
  --questions N               questions a set; default 5000
  --services N                Services in a cluster; default 40
  --without NAME,...          shapes to leave out of the clusters (--list names them)
  --with NAME,...             shapes to put in that are left out otherwise, because no API server lets them in
  --jobs N                    option sets at once; default 2
  --no-shrink                 do not look for the smallest cluster that shows a difference
  --shown N                   differences shown of a set; default 3
  --show-silent               print well-formed questions that neither server answers
  --strict                    a skipped option set is a failure
  --ask TOKEN                 ask one question only, given as the reports print it
  --list                      print the option sets and the shapes that can be left out
  --no-netns                  stay in this machine's network: sets that bind every address are skipped

Servers listen on free loopback ports, in a network namespace of their own where the system allows it.
Exit code: 0 when nothing differs, 1 when something does, 2 when the suite could not run.";

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(Parsed::Run { options, own_network }) => {
            // Built here, where there is a network.
            let built = Program::find(&ServerKind::CoreDns);
            if let Err(error) = built {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
            if own_network && let Some(status) = runner::enter_own_network() {
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                return code.map_or(ExitCode::from(2), ExitCode::from);
            }
            match runner::run(&options) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::from(2)
                }
            }
        }
        Ok(Parsed::Help) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Parsed::List) => {
            println!("option sets:");
            for set in OPTION_SETS {
                let needs =
                    if set.needs.is_empty() { String::new() } else { format!(" (needs {})", set.needs.join(", ")) };
                println!("  {}{needs}", set.name);
            }
            println!("shapes that can be left out:");
            for (shape, name) in Oddity::ALL {
                println!("  {name}{}", if IMPOSSIBLE.contains(&shape) { " (left out unless --with)" } else { "" });
            }
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

enum Parsed {
    Run { options: Box<Options>, own_network: bool },
    Help,
    List,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Parsed, String> {
    let mut options = Options::default();
    let mut own_network = true;
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--help" | "-h" => return Ok(Parsed::Help),
            "--list" => return Ok(Parsed::List),
            "--server" => {
                let text = value()?;
                options.server = text.parse().unwrap_or(ServerKind::Host);
            }
            "--directive" => options.directive = Some(value()?),
            "--option" => options.extra_options.push(value()?),
            "--seeds" => options.seeds = seeds(&value()?)?,
            "--sets" => {
                options.sets = value()?
                    .split(',')
                    .map(|name| options::find(name).ok_or_else(|| format!("there is no option set {name}; see --list")))
                    .collect::<Result<_, _>>()?;
            }
            "--without" => options.without.extend(shapes(&value()?)?),
            "--with" => {
                let with = shapes(&value()?)?;
                options.without.retain(|shape| !with.contains(shape));
            }
            "--questions" => options.questions = number(&flag, &value()?)?,
            "--services" => options.services = number(&flag, &value()?)?,
            "--jobs" => options.jobs = number(&flag, &value()?)?,
            "--shown" => options.shown = number(&flag, &value()?)?,
            "--no-shrink" => options.shrink = false,
            "--show-silent" => options.show_silent = true,
            "--strict" => options.strict = true,
            "--no-netns" => own_network = false,
            "--ask" => {
                let token = value()?;
                options.ask = Some(Query::from_token(&token).ok_or_else(|| format!("{token} is no question"))?);
            }
            other => return Err(format!("there is no option {other}")),
        }
    }
    Ok(Parsed::Run { options: Box::new(options), own_network })
}

fn shapes(text: &str) -> Result<Vec<Oddity>, String> {
    text.split(',')
        .map(|name| Oddity::from_name(name).ok_or_else(|| format!("there is no shape {name}; see --list")))
        .collect()
}

fn number(flag: &str, text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{flag} takes a number, not {text}"))
}

fn seeds(text: &str) -> Result<std::ops::RangeInclusive<u64>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let parse = |t: &str| t.parse().map_err(|_| format!("--seeds takes N or A-B, not {text}"));
    let (first, last) = (parse(first)?, parse(last)?);
    if first > last { Err(format!("--seeds {text}: {first} is after {last}")) } else { Ok(first..=last) }
}
