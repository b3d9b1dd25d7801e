//! Which system calls a worker may make: a program for seccomp.
//!
//! It is a list of what is denied. Most of it needs capabilities that a worker does not have anyway; the rest is what reaches other
//! processes and sessions of the same user past the file system. What the program cannot judge, because the
//! argument lies in memory, is put before the node (`supervision`).

mod assembler;
mod control;
mod syscall;

use crate::settings::Network;
pub use syscall::Architecture;
pub(crate) use syscall::Syscall;

use assembler::{Action, Clause, Condition, Row, assemble};

const EPERM: u16 = 1;
const EACCES: u16 = 13;
/// As the kernel says it where a file does not know a request: programs then do without.
const ENOTTY: u16 = 25;
const ENOSYS: u16 = 38;
const EOPNOTSUPP: u16 = 95;
const EAFNOSUPPORT: u16 = 97;

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_SEQPACKET: u32 = 5;
/// Beside the type stand SOCK_NONBLOCK and SOCK_CLOEXEC.
const SOCK_TYPE: u32 = 0xf;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;
/// To connect by the first bytes that are sent.
const MSG_FASTOPEN: u32 = 0x2000_0000;
/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NAMESPACES: u32 = 0x7e02_0000;
const O_ACCMODE: u32 = 3;
const O_TRUNC: u32 = 0x200;
const IOPRIO_WHO_PROCESS: u32 = 1;

/// No errno may come of these by which a program could be misled: they need rights that a worker does not have.
const DENIED: &[Syscall] = &[
    // Other processes.
    Syscall::PTRACE,
    Syscall::PROCESS_VM_READV,
    Syscall::PROCESS_VM_WRITEV,
    Syscall::PROCESS_MADVISE,
    Syscall::PIDFD_GETFD,
    Syscall::KCMP,
    Syscall::MIGRATE_PAGES,
    Syscall::MOVE_PAGES,
    // Namespaces and mounts.
    Syscall::UNSHARE,
    Syscall::SETNS,
    Syscall::MOUNT,
    Syscall::UMOUNT2,
    Syscall::PIVOT_ROOT,
    Syscall::CHROOT,
    Syscall::MOVE_MOUNT,
    Syscall::OPEN_TREE,
    Syscall::OPEN_TREE_ATTR,
    Syscall::FSOPEN,
    Syscall::FSCONFIG,
    Syscall::FSMOUNT,
    Syscall::FSPICK,
    Syscall::MOUNT_SETATTR,
    Syscall::STATMOUNT,
    Syscall::LISTMOUNT,
    // The kernel.
    Syscall::BPF,
    Syscall::PERF_EVENT_OPEN,
    Syscall::USERFAULTFD,
    Syscall::KEXEC_LOAD,
    Syscall::KEXEC_FILE_LOAD,
    Syscall::INIT_MODULE,
    Syscall::FINIT_MODULE,
    Syscall::DELETE_MODULE,
    Syscall::REBOOT,
    Syscall::SWAPON,
    Syscall::SWAPOFF,
    Syscall::ACCT,
    Syscall::SYSLOG,
    Syscall::IOPL,
    Syscall::IOPERM,
    Syscall::MODIFY_LDT,
    Syscall::VHANGUP,
    Syscall::SETHOSTNAME,
    Syscall::SETDOMAINNAME,
    Syscall::SETTIMEOFDAY,
    Syscall::CLOCK_SETTIME,
    Syscall::CLOCK_ADJTIME,
    Syscall::ADJTIMEX,
    Syscall::QUOTACTL,
    Syscall::QUOTACTL_FD,
    // Keys.
    Syscall::ADD_KEY,
    Syscall::REQUEST_KEY,
    Syscall::KEYCTL,
    // Files past their names.
    Syscall::OPEN_BY_HANDLE_AT,
    Syscall::FANOTIFY_INIT,
    // Owners and times of files, by ways that nothing supervises: Landlock lets them pass.
    Syscall::CHOWN,
    Syscall::LCHOWN,
    Syscall::FCHOWN,
    Syscall::FCHOWNAT,
    Syscall::UTIME,
    Syscall::UTIMES,
    Syscall::FUTIMESAT,
    Syscall::FILE_SETATTR,
];

/// As if the kernel did not have them: programs then do without.
const ABSENT: &[Syscall] = &[
    // Its flags lie in memory; glibc falls back to clone.
    Syscall::CLONE3,
    // It would do what is denied here without a system call.
    Syscall::IO_URING_SETUP,
    Syscall::IO_URING_ENTER,
    Syscall::IO_URING_REGISTER,
    // It would tell what happens in directories that may not be read.
    Syscall::INOTIFY_INIT,
    Syscall::INOTIFY_INIT1,
    // Memory and messages that all processes of one user share.
    Syscall::SHMGET,
    Syscall::SHMAT,
    Syscall::SHMCTL,
    Syscall::SEMGET,
    Syscall::SEMOP,
    Syscall::SEMTIMEDOP,
    Syscall::SEMCTL,
    Syscall::MSGGET,
    Syscall::MSGSND,
    Syscall::MSGRCV,
    Syscall::MSGCTL,
    Syscall::MQ_OPEN,
    Syscall::MQ_UNLINK,
];

/// Access lists are among them, by which an owner gives a file away.
const UNSUPPORTED: &[Syscall] = &[
    Syscall::SETXATTR,
    Syscall::LSETXATTR,
    Syscall::FSETXATTR,
    Syscall::SETXATTRAT,
    Syscall::REMOVEXATTR,
    Syscall::LREMOVEXATTR,
    Syscall::FREMOVEXATTR,
    Syscall::REMOVEXATTRAT,
];

/// Put before the node, which does them in the worker's place or refuses.
const SUPERVISED: &[Syscall] =
    &[Syscall::CONNECT, Syscall::CHMOD, Syscall::FCHMOD, Syscall::FCHMODAT, Syscall::FCHMODAT2, Syscall::UTIMENSAT];

/// Put before the node where Landlock does not keep signals within the worker. They name a process by its number.
const SIGNALS: &[Syscall] =
    &[Syscall::KILL, Syscall::TKILL, Syscall::TGKILL, Syscall::RT_SIGQUEUEINFO, Syscall::RT_TGSIGQUEUEINFO];

/// What of a worker's settings and of its kernel the program depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub network: Network,
    /// The version of Landlock.
    pub landlock: u32,
    /// Whether it may write devices, which have requests of their own.
    pub devices: bool,
}

/// The program, as the kernel reads it.
pub(crate) fn program(architecture: Architecture, given: Given) -> Vec<u8> {
    assembler::bytes(&assemble(architecture, &rows(given)))
}

fn rows(given: Given) -> Vec<Row> {
    let Given { network, landlock, devices } = given;
    let always = |calls: &[Syscall], action: Action| -> Vec<Row> {
        calls.iter().map(|call| Row { call: *call, clauses: Vec::new(), otherwise: action }).collect()
    };
    let mut rows = always(SUPERVISED, Action::Ask);
    rows.extend(always(DENIED, Action::Error(EPERM)));
    rows.extend(always(ABSENT, Action::Error(ENOSYS)));
    rows.extend(always(UNSUPPORTED, Action::Error(EOPNOTSUPP)));
    if landlock < 6 {
        rows.extend(always(SIGNALS, Action::Ask));
        // What a descriptor stands for could change between the node's look and the signal.
        rows.extend(always(&[Syscall::PIDFD_SEND_SIGNAL], Action::Error(ENOSYS)));
    }
    if landlock < 3 {
        rows.extend(truncation());
    }
    rows.extend(sockets(network));
    rows.extend(sending());
    rows.extend(other_processes());
    let allowed_unless = |call, conditions: Vec<Condition>| Row {
        call,
        clauses: vec![Clause { conditions, action: Action::Error(EPERM) }],
        otherwise: Action::Allow,
    };
    rows.push(allowed_unless(Syscall::CLONE, vec![Condition::AnyBit(0, NAMESPACES)]));
    rows.push(control::row(devices));
    // To ask, and what every process has.
    rows.push(Row {
        call: Syscall::PERSONALITY,
        clauses: [0, u32::MAX]
            .map(|wanted| Clause { conditions: vec![Condition::Is(0, wanted)], action: Action::Allow })
            .into(),
        otherwise: Action::Error(EPERM),
    });
    rows
}

/// The kinds of sockets that there are: TCP and UDP, and streams between a worker's own processes. A datagram between
/// processes could name another receiver each time.
fn sockets(network: Network) -> Vec<Row> {
    let allowed = |conditions: Vec<Condition>| Clause { conditions, action: Action::Allow };
    let unix: Vec<Clause> = [SOCK_STREAM, SOCK_SEQPACKET]
        .map(|kind| allowed(vec![Condition::Is(0, AF_UNIX), Condition::Masked(1, SOCK_TYPE, kind)]))
        .into();
    let mut clauses = unix.clone();
    if network == Network::All {
        for family in [AF_INET, AF_INET6] {
            for (kind, protocol) in [(SOCK_STREAM, IPPROTO_TCP), (SOCK_DGRAM, IPPROTO_UDP)] {
                for protocol in [0, protocol] {
                    let of_family = vec![Condition::Is(0, family), Condition::Masked(1, SOCK_TYPE, kind)];
                    clauses.push(allowed([of_family, vec![Condition::Is(2, protocol)]].concat()));
                }
            }
        }
    }
    // A family that everybody knows is refused, others do not exist.
    clauses.extend(
        [AF_UNIX, AF_INET, AF_INET6]
            .map(|family| Clause { conditions: vec![Condition::Is(0, family)], action: Action::Error(EACCES) }),
    );
    let otherwise = Action::Error(EAFNOSUPPORT);
    vec![
        Row { call: Syscall::SOCKET, clauses, otherwise },
        Row { call: Syscall::SOCKETPAIR, clauses: unix, otherwise: Action::Error(EACCES) },
    ]
}

/// Nothing connects by what it sends. Whom a datagram is for lies in memory and is not judged: neither a node nor a metadata
/// service listens to any.
fn sending() -> Vec<Row> {
    let fast_open = |call, flags| Row {
        call,
        clauses: vec![Clause {
            conditions: vec![Condition::AnyBit(flags, MSG_FASTOPEN)],
            action: Action::Error(EOPNOTSUPP),
        }],
        otherwise: Action::Allow,
    };
    vec![fast_open(Syscall::SENDTO, 3), fast_open(Syscall::SENDMSG, 2), fast_open(Syscall::SENDMMSG, 3)]
}

/// Limits and priorities of others of the same user.
fn other_processes() -> Vec<Row> {
    let own_only = |call, conditions: Vec<Condition>| Row {
        call,
        clauses: vec![Clause { conditions, action: Action::Error(EPERM) }],
        otherwise: Action::Allow,
    };
    let mut rows: Vec<Row> =
        [Syscall::SCHED_SETAFFINITY, Syscall::SCHED_SETSCHEDULER, Syscall::SCHED_SETPARAM, Syscall::SCHED_SETATTR]
            .map(|call| own_only(call, vec![Condition::NotZero(0)]))
            .into();
    // Without a new limit it only asks.
    rows.push(own_only(Syscall::PRLIMIT64, vec![Condition::NotZero(0), Condition::NotZero(2)]));
    let process_only = |call, which| Row {
        call,
        clauses: vec![Clause { conditions: vec![Condition::Is(0, which), Condition::Is(1, 0)], action: Action::Allow }],
        otherwise: Action::Error(EPERM),
    };
    rows.push(process_only(Syscall::SETPRIORITY, 0));
    rows.push(process_only(Syscall::IOPRIO_SET, IOPRIO_WHO_PROCESS));
    rows
}

/// To cut a file short by its name, or by opening it to read: the first two versions of Landlock do not see it.
fn truncation() -> Vec<Row> {
    let to_read = |flags| Clause {
        conditions: vec![Condition::Masked(flags, O_ACCMODE | O_TRUNC, O_TRUNC)],
        action: Action::Error(EACCES),
    };
    vec![
        Row { call: Syscall::TRUNCATE, clauses: Vec::new(), otherwise: Action::Error(EACCES) },
        Row { call: Syscall::OPEN, clauses: vec![to_read(1)], otherwise: Action::Allow },
        Row { call: Syscall::OPENAT, clauses: vec![to_read(2)], otherwise: Action::Allow },
        // Its flags lie in memory; who uses it knows of kernels without it.
        Row { call: Syscall::OPENAT2, clauses: Vec::new(), otherwise: Action::Error(ENOSYS) },
    ]
}

#[cfg(test)]
mod tests;
