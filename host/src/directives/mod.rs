//! What the directives of a Corefile mean: each is read into a type of its own, with the checks that CoreDNS makes.
//!
//! A directive is added here by a module with its type and `parse`, a field of [`ServerConfig`], an arm of
//! `ServerConfig::read`, and by marking it in [`crate::corefile::plugin_order::PLUGINS`].

pub mod autopath;
pub mod bind;
pub mod errors;
pub mod health;
mod host_port;
pub mod k8s_external;
pub mod kubernetes;
pub mod log;
pub mod metadata;
mod pattern;
pub mod ready;
mod selector;
pub mod transfer;

pub use autopath::AutopathDirective;
pub use bind::{BindAddress, BindDirective, InterfaceLookup};
pub use errors::{Consolidate, ErrorsDirective, LogLevel};
pub use health::HealthDirective;
pub use host_port::HostPort;
pub use k8s_external::K8sExternalDirective;
pub use kubernetes::{ClientTls, KubernetesDirective, PodMode, Source};
pub use log::{LogRule, ResponseClass};
pub use metadata::MetadataDirective;
pub use ready::{ReadyDirective, ReadyMonitor};
pub use transfer::{TransferClient, TransferRule};

use crate::corefile::address::OverlapCheck;
use crate::corefile::{
    Corefile, CorefileError, Directive, ErrorKind, Location, ServerBlock, Transport, Warning, ZoneAddr, plugin_order,
};

/// Everything that a Corefile asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The server blocks, in the order of the file. Never empty.
    pub servers: Vec<ServerConfig>,
    /// What the file's author should know of.
    pub warnings: Vec<Warning>,
}

/// What a server block asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// The zones with port and transport. Never empty.
    pub keys: Vec<ZoneAddr>,
    /// The addresses to listen on; `None` for all.
    pub bind: Option<BindDirective>,
    /// The readiness endpoint.
    pub ready: Option<ReadyDirective>,
    /// The health endpoint.
    pub health: Option<HealthDirective>,
    /// Logging of errors.
    pub errors: Option<ErrorsDirective>,
    /// Logging of queries: the first rule whose scope holds the query name decides. Empty for no log.
    pub log: Vec<LogRule>,
    /// Names of Kubernetes: the directive `kubernetes` or `rustk8s`.
    pub kubernetes: Option<KubernetesDirective>,
    /// Names of Services by their addresses outside of the cluster; only beside `kubernetes`.
    pub k8s_external: Option<K8sExternalDirective>,
    /// Facts about queries, for `log`.
    pub metadata: Option<MetadataDirective>,
    /// Looking names up along the client's search path.
    pub autopath: Option<AutopathDirective>,
    /// Who may transfer which zones.
    pub transfer: Vec<TransferRule>,
    /// Where the block starts.
    pub at: Location,
}

impl Config {
    /// Reads the directives of a Corefile. `interfaces` finds the addresses of a network interface, for `bind`.
    pub fn from_corefile(corefile: &Corefile, interfaces: &InterfaceLookup<'_>) -> Result<Self, CorefileError> {
        if corefile.server_blocks.is_empty() {
            let error = CorefileError::new(ErrorKind::Syntax, Location::start_of(&corefile.file), "no server block");
            return Err(error.accepted("the smallest is '. { kubernetes cluster.local }' on three lines"));
        }
        let mut warnings = corefile.warnings.clone();
        let mut servers = Vec::with_capacity(corefile.server_blocks.len());
        for block in &corefile.server_blocks {
            block.keys.iter().try_for_each(refuse_transport)?;
            servers.push(ServerConfig::read(block, interfaces, &mut warnings)?);
        }
        refuse_overlaps(&servers, corefile.port)?;
        Ok(Self { servers, warnings })
    }
}

impl ServerConfig {
    fn read(
        block: &ServerBlock,
        interfaces: &InterfaceLookup<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, CorefileError> {
        let mut config = Self {
            keys: block.keys.clone(),
            bind: None,
            ready: None,
            health: None,
            errors: None,
            log: Vec::new(),
            kubernetes: None,
            k8s_external: None,
            metadata: None,
            autopath: None,
            transfer: Vec::new(),
            at: block.at.clone(),
        };
        for directive in &block.directives {
            match directive.name {
                "bind" => config.bind = Some(BindDirective::parse(directive, interfaces, warnings)?),
                "ready" => config.ready = Some(ReadyDirective::parse(directive)?),
                "health" => config.health = Some(HealthDirective::parse(directive)?),
                "errors" => config.errors = Some(ErrorsDirective::parse(directive)?),
                "log" => config.log = log::parse(directive)?,
                "rustk8s" | "kubernetes" if config.kubernetes.is_some() => {
                    let problem = "'rustk8s' and 'kubernetes' are two names of the same directive";
                    return Err(refuse_directive(directive, problem, "keep one of them in a server block"));
                }
                "rustk8s" | "kubernetes" => {
                    config.kubernetes = Some(KubernetesDirective::parse(directive, &block.keys, warnings)?);
                }
                "k8s_external" => config.k8s_external = Some(K8sExternalDirective::parse(directive, &block.keys)?),
                "metadata" => config.metadata = Some(MetadataDirective::parse(directive, &block.keys)?),
                "autopath" => config.autopath = Some(AutopathDirective::parse(directive, &block.keys)?),
                "transfer" => config.transfer = transfer::parse(directive, &block.keys)?,
                _ => return Err(unsupported(directive)),
            }
        }
        config.check(block)?;
        Ok(config)
    }

    /// What CoreDNS finds when it starts: the plugins that a plugin works with.
    fn check(&self, block: &ServerBlock) -> Result<(), CorefileError> {
        let directive = |name: &str| block.directives.iter().find(|directive| directive.name == name);
        if self.kubernetes.is_none()
            && let Some(external) = directive("k8s_external")
        {
            let todo = "add the directive 'kubernetes' to this server block";
            return Err(refuse_directive(external, "kubernetes plugin not loaded", todo));
        }
        // A plugin that is not there is no error: no search path is known then.
        if let Some(autopath) = directive("autopath")
            && let Some(plugin) = self.autopath.as_ref().and_then(|autopath| autopath.plugin.as_deref())
            && directive(plugin).is_some()
            && HANDLERS.contains(&plugin)
        {
            let problem = format!("{plugin} does not implement the AutoPather interface");
            return Err(refuse_directive(autopath, &problem, "accepted: @kubernetes"));
        }
        Ok(())
    }

    /// The texts of the addresses that the block listens on: `None` stands for all.
    fn listen_addresses(&self) -> Vec<Option<String>> {
        match &self.bind {
            None => vec![None],
            Some(bind) => bind.addresses.iter().map(|address| Some(address.to_string())).collect(),
        }
    }
}

/// The directives that queries pass, and that know no client's search path.
const HANDLERS: &[&str] = &["autopath", "errors", "k8s_external", "log", "metadata", "transfer"];

/// The ways by which this server answers queries. The others are read, and refused at start.
pub const SERVED_TRANSPORTS: &[Transport] = &[Transport::Dns];

fn refuse_transport(key: &ZoneAddr) -> Result<(), CorefileError> {
    if SERVED_TRANSPORTS.contains(&key.transport) {
        return Ok(());
    }
    let served: Vec<_> = SERVED_TRANSPORTS.iter().map(|transport| format!("{transport}://")).collect();
    let problem = format!("{key}: {}:// is not served yet", key.transport);
    let error = CorefileError::new(ErrorKind::Address, key.at.clone(), problem);
    Err(error.accepted(format!("remove it, or keep CoreDNS for it; served are: {}", served.join(", "))))
}

/// Refuses two blocks, or keys of a block, that serve the same zone in the same place. `given_port` is the port that the
/// command line gave to all of them.
fn refuse_overlaps(servers: &[ServerConfig], given_port: Option<u16>) -> Result<(), CorefileError> {
    let todo = match given_port {
        None => "give one of them another zone, port or bind address".to_owned(),
        Some(port) => format!(
            "-dns.port {port} gives that port to all server blocks: leave it out, or give one of them another zone or bind address"
        ),
    };
    let listen: Vec<_> = servers.iter().map(ServerConfig::listen_addresses).collect();
    let mut check = OverlapCheck::default();
    for (server, addresses) in servers.iter().zip(&listen) {
        for key in &server.keys {
            for address in addresses {
                check.register(key, address.as_deref()).map_err(|overlap| {
                    CorefileError::new(ErrorKind::Overlap, key.at.clone(), overlap.to_string()).accepted(todo.clone())
                })?;
            }
        }
    }
    Ok(())
}

/// An error at the start of a directive.
fn refuse_directive(directive: &Directive, problem: &str, accepted: &str) -> CorefileError {
    CorefileError::new(ErrorKind::Option, directive.at().clone(), problem)
        .in_directive(directive.name)
        .accepted(accepted)
}

fn unsupported(directive: &Directive) -> CorefileError {
    let problem = "this is a plugin of CoreDNS that this server does not have yet";
    let todo =
        format!("remove it, or keep CoreDNS for this server block; supported are: {}", plugin_order::supported_names());
    CorefileError::new(ErrorKind::UnsupportedDirective, directive.at().clone(), problem)
        .in_directive(directive.name)
        .accepted(todo)
}

#[cfg(test)]
mod tests;
