//! A cluster and the servers that watch it: one API server fixture, some servers, and a clock by which
//! one knows that they are up to date.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::runtime::Handle;

use crate::apiserver::ApiServer;

use super::exchange::Client;
use super::options::OptionSet;
use super::sentinel;
use super::server::{Program, Server, ServerError, Surroundings};

/// Why a cluster's servers cannot be asked.
#[derive(Debug, Error)]
pub enum WorldError {
    /// A server does not run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The API server fixture does not run.
    #[error("the API server fixture does not start: {0}")]
    Fixture(String),
    /// A server does not follow the cluster's changes.
    #[error("after {seconds} s server {index} still answers {name} as before the last change. Its output:\n{output}")]
    Late {
        /// Which of the servers.
        index: usize,
        /// The sentinel that is late.
        name: String,
        /// How long it was given.
        seconds: u64,
        /// What it printed.
        output: String,
    },
}

/// A fixture with its servers. Everything stops on drop.
pub struct World {
    /// The option set that the servers have.
    pub set: &'static OptionSet,
    /// The API server.
    pub api: ApiServer,
    /// The servers, in the order of the programs.
    pub servers: Vec<Server>,
    surroundings: Surroundings,
    round: u32,
}

/// How long a server may take to see a change.
const PATIENCE: Duration = Duration::from_secs(20);

impl World {
    /// Starts the fixture with these objects and the programs as servers, and waits until all are up to date.
    pub fn start(
        runtime: &Handle,
        set: &'static OptionSet,
        programs: &[&Program],
        objects: &[Value],
        upstream: &str,
    ) -> Result<Self, WorldError> {
        let mut world = Self::without_servers(runtime, set, objects, upstream)?;
        for program in programs {
            let server = Server::spawn(program, set.corefile, &world.surroundings)?;
            world.servers.push(server);
        }
        for server in &mut world.servers {
            server.wait_ready(Duration::from_secs(30))?;
        }
        world.wait_current()?;
        Ok(world)
    }

    /// The fixture alone, holding these objects.
    pub fn without_servers(
        runtime: &Handle,
        set: &'static OptionSet,
        objects: &[Value],
        upstream: &str,
    ) -> Result<Self, WorldError> {
        let api = runtime.block_on(ApiServer::start()).map_err(|error| WorldError::Fixture(error.to_string()))?;
        let surroundings =
            Surroundings { kubeconfig: api.kubeconfig(), endpoint: api.url(), upstream: upstream.to_owned() };
        let world = Self { set, api, servers: Vec::new(), surroundings, round: 0 };
        world.replace(objects);
        Ok(world)
    }

    /// Starts one more server, without waiting for it.
    pub fn spawn(&mut self, program: &Program) -> Result<&mut Server, WorldError> {
        let server = Server::spawn(program, self.set.corefile, &self.surroundings)?;
        self.servers.push(server);
        let last = self.servers.len() - 1;
        Ok(&mut self.servers[last])
    }

    fn replace(&self, objects: &[Value]) {
        let mut all = objects.to_vec();
        all.extend(sentinel::objects(self.set, self.round));
        self.api.replace_all(all);
    }

    /// Makes the cluster consist of these objects, and waits until all servers have seen it.
    pub fn set_objects(&mut self, objects: &[Value]) -> Result<(), WorldError> {
        self.round += 1;
        self.replace(objects);
        self.wait_current()
    }

    /// Changes the sentinels, so that [`Self::wait_current`] waits for all changes until now.
    pub fn tick(&mut self) {
        self.round += 1;
        for object in sentinel::objects(self.set, self.round) {
            self.api.upsert(object);
        }
        self.api.delete("Namespace", "", sentinel::last_namespace(self.round));
    }

    /// Waits until every server has seen the sentinels.
    pub fn wait_current(&mut self) -> Result<(), WorldError> {
        for (index, server) in self.servers.iter_mut().enumerate() {
            let mut client = Client::new(server.dns_port);
            if let Err(name) = sentinel::wait(&mut client, self.set, self.round, PATIENCE) {
                server.check_running()?;
                let output = server.output();
                return Err(WorldError::Late { index, name, seconds: PATIENCE.as_secs(), output });
            }
        }
        Ok(())
    }

    /// An error when one of the servers has stopped.
    pub fn check_running(&mut self) -> Result<(), WorldError> {
        self.servers.iter_mut().try_for_each(Server::check_running)?;
        Ok(())
    }
}
