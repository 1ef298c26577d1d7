//! What the node tells of itself.

use crate::settings::addresses;
use exo_config::{Config, Cpu, Mode};
use exo_types::{CpuInfo, NodeInfo};

/// Asks the system once.
pub(crate) fn node_info(config: &Config) -> NodeInfo {
    let processors = exo_hardware::processors();
    let isa = match config.engine.cpu {
        Cpu::Auto => exo_kernels::Isa::detect().name(),
        chosen => chosen.as_str(),
    };
    NodeInfo {
        friendly_name: config.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os: exo_hardware::os_name(),
        cpu: CpuInfo {
            model: processors.model,
            physical_cores: processors.physical,
            logical_cores: processors.logical,
            isa: isa.to_owned(),
        },
        addresses: addresses(config).iter().map(ToString::to_string).collect(),
        api_port: (config.mode != Mode::Worker).then_some(config.api.port),
    }
}
