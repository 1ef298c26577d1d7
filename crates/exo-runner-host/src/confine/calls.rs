//! System calls, by seccomp: what no runner needs fails with EPERM. Under systemd the service's own filter comes on top.

use super::NetworkUse;
use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Other processes, the kernel, its keys, its clock and its mounts.
const REFUSED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_open_by_handle_at,
    libc::SYS_personality,
];

/// The filter of a runner's whole life.
pub(super) fn filter(network: NetworkUse) -> Result<BpfProgram, BackendError> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_socket, refused_sockets(network)?);
    compile(rules)
}

/// The filter of a runner that runs: it starts no other program.
pub(super) fn no_programs() -> Result<BpfProgram, BackendError> {
    compile([libc::SYS_execve, libc::SYS_execveat].into_iter().map(|call| (call, Vec::new())).collect())
}

/// A rule of a call refuses what matches: families that are not allowed, and of those that are, all but streams.
fn refused_sockets(network: NetworkUse) -> Result<Vec<SeccompRule>, BackendError> {
    let allowed: &[libc::c_int] = match network {
        NetworkUse::None => &[libc::AF_UNIX],
        NetworkUse::Links { .. } => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
    };
    let other = allowed.iter().map(|family| argument(0, SeccompCmpOp::Ne, *family)).collect::<Result<_, _>>()?;
    let mut rules = vec![SeccompRule::new(other)?];
    for family in allowed.iter().filter(|family| **family != libc::AF_UNIX) {
        for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, libc::SOCK_DCCP] {
            // The lower bits are the type, the others flags.
            let kind = argument(1, SeccompCmpOp::MaskedEq(0xf), kind)?;
            rules.push(SeccompRule::new(vec![argument(0, SeccompCmpOp::Eq, *family)?, kind])?);
        }
    }
    Ok(rules)
}

fn argument(index: u8, operator: SeccompCmpOp, value: libc::c_int) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, u64::from(value.unsigned_abs()))
}

fn compile(rules: Rules) -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}
