//! The process: from the command line to the exit code.

use crate::app::{App, AppOptions, StartError};
use crate::cli::{self, Command, Options, UsageError};
use crate::corefile::{Corefile, CorefileError, Settings};
use crate::directives::Config;
use crate::interfaces::{self, InterfaceAddress};
use crate::logging::{self, LogSink};
use crate::manifests::{ManifestError, Manifests};
use crate::{demo, shutdown};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

/// The Corefile that is read where the command line names none: as CoreDNS.
const DEFAULT_COREFILE: &str = "Corefile";

/// Why the process ends. One line.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("{0}")]
    Corefile(#[from] CorefileError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the system refuses what the server needs: {0}")]
    System(#[from] std::io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Corefile(_) | Self::Manifest(_) => 2,
            Self::Start(error) => error.exit_code(),
            Self::System(_) => 1,
        }
    }
}

/// Runs the program. `arguments` are those of the process, its name among them.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match cli::parse(arguments.into_iter().skip(1)) {
        Ok(command) => command,
        Err(error) => return fail(&error.into()),
    };
    match command {
        Command::Help => print!("{}", cli::USAGE),
        Command::Version => println!("rustk8s {}", env!("CARGO_PKG_VERSION")),
        Command::Serve(options) => {
            let log = logging::start();
            let result = serve(&options, &log);
            log.flush();
            if let Err(failure) = result {
                return fail(&failure);
            }
        }
    }
    ExitCode::SUCCESS
}

fn fail(failure: &Failure) -> ExitCode {
    eprintln!("rustk8s: {failure}");
    ExitCode::from(failure.exit_code())
}

/// What is served.
struct Job {
    config: Config,
    objects: Option<Manifests>,
    is_demo: bool,
}

impl Job {
    fn new(options: &Options, interfaces: &[InterfaceAddress]) -> Result<Self, Failure> {
        let objects = match &options.objects[..] {
            [] => None,
            files => Some(Manifests::read(files)?),
        };
        let settings = Settings { port: options.port, ..Settings::default() };
        let lookup = |name: &str| interfaces::addresses_of(interfaces, name);
        let file = match &options.conf {
            Some(file) => Some(file.as_path()),
            None if !options.demo && objects.is_none() => {
                Some(Path::new(DEFAULT_COREFILE)).filter(|file| file.exists())
            }
            None => None,
        };
        if let Some(file) = file {
            let mut config = Config::from_corefile(&Corefile::read(file, &settings)?, &lookup)?;
            interfaces::leave_out_missing_ipv6_loopback(&mut config, interfaces);
            return Ok(Self { config, objects, is_demo: false });
        }
        let mut config = demo::config(&settings, &lookup)?;
        interfaces::leave_out_missing_ipv6_loopback(&mut config, interfaces);
        let is_demo = objects.is_none();
        let objects = if is_demo { demo::manifests()? } else { objects.unwrap_or_default() };
        Ok(Self { config, objects: Some(objects), is_demo })
    }
}

fn serve(options: &Options, log: &LogSink) -> Result<(), Failure> {
    let Job { config, objects, is_demo } = Job::new(options, &interfaces::addresses())?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(manifests) = objects.as_ref().filter(|_| !is_demo) {
        tracing::info!(plugin = "kubernetes", "{}", manifests.summary());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut signals = shutdown::Signals::new()?;
        let options = AppOptions { objects, ..AppOptions::new(log.clone()) };
        let app = tokio::select! {
            app = App::start(&config, options) => app?,
            signal = signals.stop() => {
                tracing::info!("{signal}: stopped before the server had started");
                return Ok(());
            }
        };
        let text = if is_demo { demo::banner(app.addresses()) } else { startup_text(&config, app.addresses()) };
        for line in text.lines() {
            log.line(line.to_owned());
        }
        let signal = signals.stop().await;
        tracing::info!("{signal}: shutting down");
        tokio::select! {
            () = app.stop() => Ok(()),
            signal = signals.stop() => {
                log.line(format!("[INFO] {signal} again: stopping at once"));
                Err(Failure::System(std::io::Error::other("stopped before connections had finished")))
            }
        }
    });
    runtime.shutdown_background();
    result
}

/// What CoreDNS prints once it serves: the zones and where.
fn startup_text(config: &Config, addresses: &[SocketAddr]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for server in &config.servers {
        for key in &server.keys {
            match &server.bind {
                None => lines.push(format!("{}:{}", key.zone, key.port)),
                Some(bind) => {
                    let on = bind.addresses.iter().map(|address| format!("{}:{} on {address}", key.zone, key.port));
                    lines.extend(on);
                }
            }
        }
    }
    // The system has chosen ports that were given as 0.
    if config.servers.iter().flat_map(|server| &server.keys).any(|key| key.port == 0) {
        lines.extend(addresses.iter().map(|address| format!("listening on {address}")));
    }
    lines.push(format!("rustk8s-{}", env!("CARGO_PKG_VERSION")));
    lines.join("\n")
}
