//! A small kernel on every card of NVIDIA's, through the driver and NVRTC as they are at run time: whoever passes can
//! run what an engine compiles.

use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{CudaContext, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::compile_ptx;
use std::sync::Arc;
use std::time::Instant;

/// Each thread writes a number that depends on where it runs.
const SOURCE: &str = r#"
extern "C" __global__ void exo_self_test(unsigned int *out, unsigned int count) {
    unsigned int place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place < count) out[place] = place * 2654435761u + 12345u;
}
"#;

/// Numbers that are written: many blocks, and an end that is inside of one.
const COUNT: u32 = 100_003;

/// Bytes that are copied to measure the memory, and how often.
const COPIED: usize = 256 << 20;
const COPIES: u32 = 8;

/// How it went for one card.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Test {
    /// Its place on PCI, `0000:07:00.0`; nothing if it was not even told that. CUDA counts the fastest card first.
    pub(super) address: Option<String>,
    /// Why it cannot be used, otherwise.
    pub(super) result: Result<Passed, String>,
}

/// What a card that passed told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Passed {
    pub(super) capability: Option<(i32, i32)>,
    /// Bytes in a second, read and written together; nothing if the card has no memory left for it.
    pub(super) memory_bandwidth: Option<u64>,
}

/// Tests every card that CUDA lists, or tells why none can be used. May hang with a broken driver, and may panic with a
/// very old one.
pub(super) fn self_tests() -> Result<Vec<Test>, String> {
    if !has_driver() {
        return Err("libcuda.so.1 is not found; install the libraries of NVIDIA's driver".to_owned());
    }
    if !has_compiler() {
        return Err("libnvrtc.so is not found; install NVRTC of CUDA 12 or newer".to_owned());
    }
    cudarc::driver::result::init().map_err(|error| format!("CUDA does not start: {error}"))?;
    let count = CudaContext::device_count().map_err(|error| format!("CUDA lists no cards: {error}"))?;
    Ok((0..usize::try_from(count).unwrap_or(0)).map(self_test).collect())
}

#[expect(unsafe_code, reason = "a library can only be looked for by loading it")]
fn has_driver() -> bool {
    // SAFETY: loading runs what the library does at its start; libcuda of a driver does nothing there that another
    // part of this process could see.
    unsafe { cudarc::driver::sys::is_culib_present() }
}

#[expect(unsafe_code, reason = "a library can only be looked for by loading it")]
fn has_compiler() -> bool {
    // SAFETY: as for the driver.
    unsafe { cudarc::nvrtc::sys::is_culib_present() }
}

fn self_test(ordinal: usize) -> Test {
    match CudaContext::new(ordinal) {
        Ok(context) => Test { address: address(&context), result: passes(&context) },
        Err(error) => Test { address: None, result: Err(format!("CUDA gives no context: {error}")) },
    }
}

fn passes(context: &Arc<CudaContext>) -> Result<Passed, String> {
    let stream = context.default_stream();
    if !compute(context, &stream)? {
        return Err("a kernel computed wrong numbers; the card is damaged".to_owned());
    }
    Ok(Passed { capability: context.compute_capability().ok(), memory_bandwidth: bandwidth(&stream) })
}

fn address(context: &Arc<CudaContext>) -> Option<String> {
    let part = |attribute| context.attribute(attribute).ok();
    let domain = part(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID)?;
    let bus = part(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)?;
    let device = part(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)?;
    Some(format!("{domain:04x}:{bus:02x}:{device:02x}.0"))
}

/// Whether the numbers are the right ones.
fn compute(context: &Arc<CudaContext>, stream: &Arc<CudaStream>) -> Result<bool, String> {
    let failed = |what: &'static str| move |error| format!("{what}: {error}");
    let ptx = compile_ptx(SOURCE).map_err(|error| format!("NVRTC does not compile: {error:?}"))?;
    let module = context.load_module(ptx).map_err(failed("the driver does not load a kernel"))?;
    let kernel = module.load_function("exo_self_test").map_err(failed("the driver does not find a kernel"))?;
    let mut out = stream.alloc_zeros::<u32>(COUNT as usize).map_err(failed("CUDA gives no memory"))?;
    let mut launch = stream.launch_builder(&kernel);
    launch.arg(&mut out).arg(&COUNT);
    run(&mut launch).map_err(failed("a kernel does not start"))?;
    let numbers = stream.clone_dtoh(&out).map_err(failed("a kernel does not end"))?;
    let expected = (0..COUNT).map(|place| place.wrapping_mul(2_654_435_761).wrapping_add(12_345));
    Ok(numbers.into_iter().eq(expected))
}

#[expect(unsafe_code, reason = "the compiler cannot see what a kernel does with its arguments")]
fn run(launch: &mut cudarc::driver::LaunchArgs<'_>) -> Result<(), cudarc::driver::DriverError> {
    // SAFETY: the arguments are those of SOURCE in number, order and type; it writes `count` numbers into a buffer of
    // as many, which lives until they are copied back.
    unsafe { launch.launch(LaunchConfig::for_num_elems(COUNT)) }.map(|_events| ())
}

/// Copies inside the card: each byte is read and written.
fn bandwidth(stream: &Arc<CudaStream>) -> Option<u64> {
    let from = stream.alloc_zeros::<u8>(COPIED).ok()?;
    let mut to = stream.alloc_zeros::<u8>(COPIED).ok()?;
    // The first copy is not counted: the card's clock rises meanwhile.
    stream.memcpy_dtod(&from, &mut to).ok()?;
    stream.synchronize().ok()?;
    let begin = Instant::now();
    for _ in 0..COPIES {
        stream.memcpy_dtod(&from, &mut to).ok()?;
    }
    stream.synchronize().ok()?;
    let bytes = 2.0 * COPIED as f64 * f64::from(COPIES);
    Some((bytes / begin.elapsed().as_secs_f64()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_card_passes_or_the_machine_is_told_what_to_install() {
        match self_tests() {
            Ok(tests) => assert!(tests.iter().all(|test| test.result.is_ok()), "{tests:?}"),
            Err(reason) => assert!(reason.contains("install"), "{reason}"),
        }
    }
}
