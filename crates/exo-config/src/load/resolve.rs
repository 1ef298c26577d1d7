//! From checked values to the structure that services read.

use super::Values;
use crate::config::{
    Api, Config, Cpu, Election, Engine, LogFormat, Logging, Mode, Models, Networking, Quantize, Runner, Security, Tls,
};
use exo_types::{KvFormat, ModelId};
use std::net::IpAddr;
use std::path::PathBuf;

impl Values {
    /// Total: every value was checked against the kind of its key.
    pub(crate) fn resolve(&self) -> Config {
        Config {
            mode: self.choice("mode", Mode::from_word),
            name: self.required("name").to_owned(),
            data_dir: PathBuf::from(self.required("dataDir")),
            api: self.api(),
            networking: self.networking(),
            security: Security { join_token_file: self.text("security.joinTokenFile").map(PathBuf::from) },
            election: Election {
                seniority: self.number("election.seniority"),
                take_over_after: self.duration("election.takeoverAfter"),
                leave_on_stop: self.flag("election.leaveOnStop"),
            },
            models: self.models(),
            engine: self.engine(),
            runner: self.runner(),
            logging: Logging {
                level: self.required("logging.level").to_owned(),
                format: self.choice("logging.format", LogFormat::from_word),
            },
        }
    }

    fn api(&self) -> Api {
        Api {
            port: self.number("api.port"),
            bind: self.choice("api.bind", address),
            key_file: self.text("api.keyFile").map(PathBuf::from),
            max_body_bytes: usize::try_from(self.memory("api.maxBodyBytes").in_bytes).unwrap_or(usize::MAX),
            request_timeout: self.duration("api.requestTimeout"),
            header_timeout: self.duration("api.headerTimeout"),
            stream_timeout: self.duration("api.streamTimeout"),
            max_concurrent: self.number("api.maxConcurrent"),
            tls: Tls {
                certificate: self.text("api.tls.certificate").map(PathBuf::from),
                key: self.text("api.tls.key").map(PathBuf::from),
            },
        }
    }

    fn networking(&self) -> Networking {
        Networking {
            namespace: self.required("networking.namespace").to_owned(),
            cluster_port: self.number("networking.clusterPort"),
            worker_port: self.number("networking.workerPort"),
            api_port: self.number("networking.apiPort"),
            discovery_port: self.number("networking.discoveryPort"),
            tensor_ports: self.ports("networking.tensorPorts"),
            loopback_only: self.flag("networking.loopbackOnly"),
            multicast: self.flag("networking.multicast"),
            peers: self.texts("networking.peers").to_vec(),
            listen_addresses: self
                .texts("networking.listenAddresses")
                .iter()
                .filter_map(|text| address(text))
                .collect(),
            advertise_address: self.text("networking.advertiseAddress").and_then(address),
        }
    }

    fn models(&self) -> Models {
        let ids = self.texts("models.place").iter().filter_map(|text| ModelId::new(text.as_str()).ok());
        Models {
            dirs: self.texts("models.dirs").iter().map(PathBuf::from).collect(),
            place: ids.collect(),
            quantize: self.choice("models.quantize", Quantize::from_word),
        }
    }

    fn engine(&self) -> Engine {
        Engine {
            threads: self.number("engine.threads"),
            cpu: self.choice("engine.cpu", Cpu::from_word),
            context_length: self.number("engine.contextLength"),
            max_sequences: self.number("engine.maxSequences"),
            kv_cache: self.choice("engine.kvCache", KvFormat::from_word),
            prefill_chunk: self.number("engine.prefillChunk"),
            draft_tokens: self.number("engine.draftTokens"),
            prefix_reuse: self.flag("engine.prefixReuse"),
        }
    }

    fn runner(&self) -> Runner {
        Runner {
            program: self.text("runner.program").map(PathBuf::from),
            stall_timeout: self.duration("runner.stallTimeout"),
            start_timeout: self.duration("runner.startTimeout"),
            backoff_first: self.duration("runner.backoffFirst"),
            backoff_max: self.duration("runner.backoffMax"),
            memory_reserve: self.memory("runner.memoryReserve"),
            memory_limit: self.optional_memory("runner.memoryLimit"),
            confine: self.flag("runner.confine"),
        }
    }

    fn required(&self, path: &str) -> &str {
        self.text(path).expect("a key with a default is set")
    }

    fn choice<T>(&self, path: &str, read: impl Fn(&str) -> Option<T>) -> T {
        read(self.required(path)).expect("the word was checked against the key's kind")
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}
