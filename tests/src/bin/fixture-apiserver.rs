//! The API server fixture as a program, for tests in a shell or in another language.

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::FileTypeExt as _,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
};

use rustk8s_tests::apiserver::{ApiServer, ObjectError, Options, control, manifest};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

const USAGE: &str = "\
usage: fixture-apiserver [OPTION]... [FILE]...
Serves the Kubernetes objects of the files (JSON, or YAML if named .yaml or .yml) as an API server on 127.0.0.1.
Objects of kinds that it does not serve are left out, with a line on standard error.
Prints two lines: the URL of the API server, and the URL of its control endpoint (see apiserver/control.rs).
Ends on SIGTERM, on SIGINT, and when standard input is a pipe that is closed.
  --port N            port of the API server; 0, the default, chooses a free one
  --control-port N    port of the control endpoint, the same
  --kubeconfig FILE   write a kubeconfig for this server to FILE
  --history N         events of each kind that are remembered
  --no-watch-list     refuse streaming lists, as older API servers do
";

struct Arguments {
    options: Options,
    control_port: u16,
    kubeconfig: Option<PathBuf>,
    watch_list: bool,
    files: Vec<PathBuf>,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        options: Options::default(),
        control_port: 0,
        kubeconfig: None,
        watch_list: true,
        files: Vec::new(),
    };
    while let Some(word) = words.next() {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (word.clone(), None),
        };
        let mut value = || inline.clone().or_else(|| words.next()).ok_or_else(|| format!("{name} needs a value"));
        let bad = |value: &str| format!("{name}: \"{value}\" is not a number in range");
        match name.as_str() {
            "--port" => {
                let value = value()?;
                arguments.options.port = value.parse().map_err(|_| bad(&value))?;
            }
            "--control-port" => {
                let value = value()?;
                arguments.control_port = value.parse().map_err(|_| bad(&value))?;
            }
            "--history" => {
                let value = value()?;
                arguments.options.history_events = value.parse().map_err(|_| bad(&value))?;
            }
            "--kubeconfig" => arguments.kubeconfig = Some(value()?.into()),
            "--no-watch-list" if inline.is_none() => arguments.watch_list = false,
            _ if word.starts_with('-') => return Err(format!("{word} is not an option of this program")),
            _ => arguments.files.push(word.into()),
        }
    }
    Ok(arguments)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if env::args().any(|word| word == "--help" || word == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let arguments = match arguments(env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprint!("fixture-apiserver: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("fixture-apiserver: {message}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let port = arguments.options.port;
    let api = ApiServer::start_with(arguments.options)
        .await
        .map_err(|e| format!("cannot listen on 127.0.0.1 port {port}: {e}: choose another by --port"))?;
    let api = Arc::new(api);
    api.faults(|faults| faults.watch_list = arguments.watch_list);
    for path in &arguments.files {
        for object in manifest::read(path).map_err(|e| e.to_string())? {
            match api.try_upsert(object) {
                Ok(_) => {}
                // Manifests carry Deployments and the like beside what DNS looks at.
                Err(error @ ObjectError::UnknownKind { .. }) => {
                    eprintln!("fixture-apiserver: {}: left out: {error}", path.display());
                }
                Err(error) => return Err(format!("{}: {error}", path.display())),
            }
        }
    }
    let control_port = arguments.control_port;
    let (address, control) = control::serve(Arc::clone(&api), control_port).await.map_err(|e| {
        format!("cannot listen on 127.0.0.1 port {control_port}: {e}: choose another by --control-port")
    })?;
    if let Some(path) = &arguments.kubeconfig {
        fs::write(path, api.kubeconfig()).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let stop = stop().map_err(|e| format!("cannot wait for signals: {e}"))?;
    let mut out = io::stdout();
    writeln!(out, "{}\nhttp://{address}/fixture", api.url())
        .and_then(|()| out.flush())
        .map_err(|e| format!("standard output: {e}"))?;
    tokio::select! {
        result = control => result.map_err(|e| format!("the control endpoint ended: {e}")),
        () = stop => Ok(()),
    }
}

/// Ends when the program is told to stop: by a signal, or by whoever holds the other end of its standard input.
fn stop() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (closed, mut stdin) = oneshot::channel::<()>();
    // A terminal or /dev/null (the standard input of a job in the background) says nothing about a parent.
    let held = fs::metadata("/dev/stdin").is_ok_and(|m| m.file_type().is_fifo() || m.file_type().is_socket());
    let keep = if held {
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            drop(closed);
        });
        None
    } else {
        Some(closed)
    };
    Ok(async move {
        let _keep = keep;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = &mut stdin => {}
        }
    })
}
