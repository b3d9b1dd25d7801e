use proptest::prelude::*;

use super::assembler::Instruction;
use super::*;

/// Executes a program as the kernel does.
fn execute(program: &[Instruction], number: u32, machine: u32, arguments: [u64; 6]) -> u32 {
    let mut data = [0_u8; 64];
    data[0..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&machine.to_le_bytes());
    for (position, argument) in arguments.iter().enumerate() {
        data[16 + 8 * position..24 + 8 * position].copy_from_slice(&argument.to_le_bytes());
    }
    let (mut accumulator, mut position) = (0_u32, 0_usize);
    loop {
        let Instruction { code, if_true, if_false, operand } = program[position];
        position += 1;
        let mut branch = |holds: bool| position += usize::from(if holds { if_true } else { if_false });
        match code {
            0x20 => {
                let at = operand as usize;
                accumulator = u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"));
            }
            0x54 => accumulator &= operand,
            0x15 => branch(accumulator == operand),
            0x25 => branch(accumulator > operand),
            0x35 => branch(accumulator >= operand),
            0x45 => branch(accumulator & operand != 0),
            0x06 => return operand,
            other => panic!("{other:#x} is no instruction of this program"),
        }
    }
}

const ALLOW: u32 = 0x7fff_0000;
const ASK: u32 = 0x7fc0_0000;
const KILL: u32 = 0x8000_0000;
const MACHINES: [Architecture; 2] = [Architecture::X86_64, Architecture::Aarch64];

const fn error(errno: u16) -> u32 {
    0x0005_0000 | errno as u32
}

struct Filter {
    program: Vec<Instruction>,
    architecture: Architecture,
}

impl Filter {
    fn new(architecture: Architecture, network: Network, landlock: u32) -> Self {
        Self::of(architecture, Given { network, landlock, devices: false })
    }

    fn of(architecture: Architecture, given: Given) -> Self {
        Self { program: assemble(architecture, &rows(given)), architecture }
    }

    fn usual() -> Self {
        Self::new(Architecture::X86_64, Network::All, 7)
    }

    /// `None`: there is no such call on this machine.
    fn judge(&self, call: Syscall, arguments: &[u64]) -> Option<u32> {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        Some(execute(&self.program, call.number(self.architecture)?, self.architecture.audit(), all))
    }
}

/// What the usual filter says.
fn judge(call: Syscall, arguments: &[u64]) -> u32 {
    Filter::usual().judge(call, arguments).expect("a call of this machine")
}

#[test]
fn calls_of_another_machine_kill() {
    for architecture in MACHINES {
        let filter = Filter::new(architecture, Network::All, 7);
        // 32-bit x86: `int 0x80` reaches it from any program.
        for foreign in [0x4000_0003, 0x4000_0028, 0xc000_00b7, 0xc000_003e] {
            let expected = if foreign == architecture.audit() { ALLOW } else { KILL };
            // read(2) on arm64, uname(2) on x86-64.
            assert_eq!(execute(&filter.program, 63, foreign, [0; 6]), expected, "{foreign:#x} on {architecture:?}");
        }
    }
    let x32 = execute(&Filter::usual().program, 0x4000_0000 + 39, Architecture::X86_64.audit(), [0; 6]);
    assert_eq!(x32, KILL);
}

#[test]
fn what_is_newer_than_this_program_does_not_exist() {
    for architecture in MACHINES {
        let filter = Filter::new(architecture, Network::All, 7);
        let of = |number| execute(&filter.program, number, architecture.audit(), [0; 6]);
        assert_eq!((of(470), of(1000), of(0x3fff_ffff)), (error(ENOSYS), error(ENOSYS), error(ENOSYS)));
    }
}

#[test]
fn every_call_of_the_lists_is_judged_on_every_machine_that_has_it() {
    for architecture in MACHINES {
        for network in [Network::All, Network::None] {
            let filter = Filter::new(architecture, network, 7);
            for (calls, expected) in [
                (SUPERVISED, ASK),
                (DENIED, error(EPERM)),
                (ABSENT, error(ENOSYS)),
                (UNSUPPORTED, error(EOPNOTSUPP)),
                (SIGNALS, ALLOW),
            ] {
                for call in calls {
                    let judged = filter.judge(*call, &[]);
                    assert!(judged.is_none_or(|judged| judged == expected), "{call:?} on {architecture:?}: {judged:?}");
                }
            }
        }
    }
}

#[test]
fn no_call_has_two_rows() {
    for architecture in MACHINES {
        let mut numbers: Vec<u32> = rows(Given { network: Network::All, landlock: 1, devices: false })
            .iter()
            .filter_map(|row| row.call.number(architecture))
            .collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "the second one would never be reached");
    }
}

#[test]
fn what_every_program_does_is_allowed() {
    // read, write, mmap, brk, rt_sigaction, futex, epoll_wait, execve, exit, wait4, getrandom, openat, rename, unlink
    for number in [0, 1, 9, 12, 13, 202, 232, 59, 60, 61, 318, 257, 82, 87] {
        let program = Filter::usual().program;
        assert_eq!(execute(&program, number, Architecture::X86_64.audit(), [0; 6]), ALLOW, "{number}");
    }
    // fork, and a thread, as glibc makes them.
    assert_eq!((judge(Syscall::CLONE, &[0x0120_0011]), judge(Syscall::CLONE, &[0x003d_0f00])), (ALLOW, ALLOW));
}

#[test]
fn namespaces_are_not_to_be_had() {
    for flag in [0x2_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000_u64] {
        assert_eq!(judge(Syscall::CLONE, &[flag | 17]), error(EPERM), "{flag:#x}");
    }
    assert_eq!(judge(Syscall::CLONE3, &[1, 88]), error(ENOSYS));
}

#[test]
fn sockets_are_tcp_and_udp_and_streams_on_this_machine() {
    const CLOEXEC: u64 = 0o2_000_000;
    let all = |arguments: &[u64]| judge(Syscall::SOCKET, arguments);
    for allowed in [[1, 1, 0], [1, 5 | CLOEXEC, 0], [2, 1, 0], [2, 1 | CLOEXEC, 6], [2, 2, 17], [10, 2, 0], [10, 1, 6]]
    {
        assert_eq!(all(&allowed), ALLOW, "{allowed:?}");
    }
    // Datagrams on this machine, raw ones, ICMP, MPTCP, SCTP.
    for refused in [[1, 2, 0], [2, 3, 255], [2, 2, 1], [2, 1, 262], [2, 1, 132], [10, 3, 58]] {
        assert_eq!(all(&refused), error(EACCES), "{refused:?}");
    }
    // Netlink, packets, ALG, VSOCK.
    for unknown in [[16, 3, 0], [17, 3, 0], [38, 5, 0], [40, 1, 0]] {
        assert_eq!(all(&unknown), error(EAFNOSUPPORT), "{unknown:?}");
    }
    let none = Filter::new(Architecture::X86_64, Network::None, 7);
    for family in [2, 10] {
        assert_eq!(none.judge(Syscall::SOCKET, &[family, 1, 0]), Some(error(EACCES)));
    }
    assert_eq!(none.judge(Syscall::SOCKET, &[1, 1, 0]), Some(ALLOW));
    assert_eq!(
        (judge(Syscall::SOCKETPAIR, &[1, 1, 0]), judge(Syscall::SOCKETPAIR, &[1, 2, 0])),
        (ALLOW, error(EACCES))
    );
}

#[test]
fn nobody_connects_by_sending() {
    const FAST: u64 = MSG_FASTOPEN as u64;
    for (call, flags) in [(Syscall::SENDTO, 3), (Syscall::SENDMSG, 2), (Syscall::SENDMMSG, 3)] {
        let with = |given: u64| {
            let mut arguments = [3, 0x1000, 1, 0, 0x1000, 16];
            arguments[flags] = given;
            judge(call, &arguments)
        };
        assert_eq!((with(0), with(0x4000)), (ALLOW, ALLOW), "{call:?}");
        assert_eq!((with(FAST), with(FAST | 0x4000)), (error(EOPNOTSUPP), error(EOPNOTSUPP)), "{call:?}");
    }
}

#[test]
fn other_processes_keep_their_limits_and_priorities() {
    assert_eq!((judge(Syscall::PRLIMIT64, &[0, 7, 1]), judge(Syscall::PRLIMIT64, &[99, 7, 0, 1])), (ALLOW, ALLOW));
    assert_eq!(judge(Syscall::PRLIMIT64, &[99, 7, 1]), error(EPERM));
    for call in [Syscall::SCHED_SETAFFINITY, Syscall::SCHED_SETSCHEDULER, Syscall::SCHED_SETATTR] {
        assert_eq!((judge(call, &[0, 8, 1]), judge(call, &[99, 8, 1])), (ALLOW, error(EPERM)));
    }
    assert_eq!(
        (judge(Syscall::SETPRIORITY, &[0, 0, 5]), judge(Syscall::SETPRIORITY, &[0, 99, 5])),
        (ALLOW, error(EPERM))
    );
    assert_eq!(judge(Syscall::SETPRIORITY, &[2, 0, 19]), error(EPERM), "all processes of the user");
    assert_eq!((judge(Syscall::IOPRIO_SET, &[1, 0]), judge(Syscall::IOPRIO_SET, &[3, 0])), (ALLOW, error(EPERM)));
}

#[test]
fn a_terminal_is_not_typed_into_and_a_personality_only_asked_for() {
    for given in BOTH {
        let filter = Filter::of(Architecture::X86_64, given);
        // The kernel looks at the lower half only.
        for request in [0x5412, 0x541c, 0x1_0000_5412] {
            assert_eq!(filter.judge(Syscall::IOCTL, &[0, request]), Some(error(EPERM)), "{request:#x} {given:?}");
        }
    }
    assert_eq!((judge(Syscall::PERSONALITY, &[0xffff_ffff]), judge(Syscall::PERSONALITY, &[0])), (ALLOW, ALLOW));
    assert_eq!(judge(Syscall::PERSONALITY, &[0x0040_0000]), error(EPERM));
}

/// With and without a device that may be written.
const BOTH: [Given; 2] = [
    Given { network: Network::All, landlock: 7, devices: false },
    Given { network: Network::All, landlock: 7, devices: true },
];

#[test]
fn nothing_about_a_file_is_changed_by_a_descriptor_to_read_it() {
    // FS_IOC_SETFLAGS and its 32-bit form, FS_IOC_SETVERSION twice, FS_IOC_FSSETXATTR, FS_IOC_SET_ENCRYPTION_POLICY,
    // FS_IOC_ADD_ENCRYPTION_KEY, FS_IOC_ENABLE_VERITY, EXT4_IOC_MIGRATE, EXT4_IOC_SETVERSION, FAT_IOCTL_SET_ATTRIBUTES,
    // BTRFS_IOC_SUBVOL_SETFLAGS, BTRFS_IOC_DEFRAG, F2FS_IOC_SET_PIN_FILE, FIDEDUPERANGE, FITRIM, FIFREEZE, FIBMAP.
    let changing: [u64; 18] = [
        0x4008_6602,
        0x4004_6602,
        0x4008_7602,
        0x4004_7602,
        0x401c_5820,
        0x800c_6613,
        0xc050_6617,
        0x4080_6685,
        0x6609,
        0x4008_6604,
        0x4004_7211,
        0x4008_941a,
        0x5000_9402,
        0x4004_f50d,
        0xc018_9436,
        0xc018_5879,
        0xc004_5877,
        0x1,
    ];
    for architecture in MACHINES {
        for given in BOTH {
            let filter = Filter::of(architecture, given);
            for request in changing {
                // What stands in the upper half the kernel does not see.
                for request in [request, request | 0xffff_ffff_0000_0000] {
                    let judged = filter.judge(Syscall::IOCTL, &[3, request]);
                    assert_eq!(judged, Some(error(ENOTTY)), "{request:#x} {given:?}");
                }
            }
        }
    }
}

#[test]
fn terminals_sockets_and_copies_do_what_they_did() {
    // TCGETS, TCSETSW, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, TCGETS2, SIOCGIFCONF, SIOCGIFINDEX, FICLONE, FICLONERANGE,
    // FS_IOC_GETFLAGS.
    let usual = [
        0x5401,
        0x5403,
        0x5413,
        0x541b,
        0x5421,
        0x5451,
        0x802c_542a,
        0x8912,
        0x8933,
        0x4004_9409,
        0x4020_940d,
        0x8008_6601,
    ];
    for given in BOTH {
        let filter = Filter::of(Architecture::X86_64, given);
        for request in usual {
            assert_eq!(filter.judge(Syscall::IOCTL, &[3, request]), Some(ALLOW), "{request:#x} {given:?}");
        }
    }
}

#[test]
fn what_is_not_known_is_asked_of_devices_that_an_operator_gives_and_of_nothing_else() {
    // Of NVIDIA's card, its shared memory, and of DRM.
    for request in [0xc020_462a, 0x1b, 0xc010_6409] {
        assert_eq!(judge(Syscall::IOCTL, &[3, request]), error(ENOTTY), "{request:#x}");
        let given = Filter::of(Architecture::X86_64, BOTH[1]).judge(Syscall::IOCTL, &[3, request]);
        assert_eq!(given, Some(ALLOW), "{request:#x}");
    }
}

#[test]
fn an_older_landlock_is_helped_out() {
    let old = Filter::new(Architecture::X86_64, Network::All, 2);
    for call in SIGNALS {
        assert_eq!(old.judge(*call, &[]), Some(ASK), "{call:?}");
    }
    assert_eq!(old.judge(Syscall::PIDFD_SEND_SIGNAL, &[]), Some(error(ENOSYS)));
    assert_eq!(old.judge(Syscall::TRUNCATE, &[]), Some(error(EACCES)));
    assert_eq!(old.judge(Syscall::OPENAT, &[0, 1, 0o1000]), Some(error(EACCES)), "to read, and cut short");
    assert_eq!(old.judge(Syscall::OPENAT, &[0, 1, 0o1001]), Some(ALLOW), "to write: Landlock judges");
    assert_eq!(old.judge(Syscall::OPENAT, &[0, 1, 0]), Some(ALLOW));
    assert_eq!(old.judge(Syscall::OPENAT2, &[]), Some(error(ENOSYS)));
    let between = Filter::new(Architecture::X86_64, Network::All, 5);
    assert_eq!((between.judge(Syscall::TRUNCATE, &[]), between.judge(Syscall::KILL, &[])), (Some(ALLOW), Some(ASK)));
}

#[test]
fn the_program_is_pinned() {
    let program = program(Architecture::X86_64, Given { network: Network::All, landlock: 7, devices: false });
    assert_eq!(program.len() % 8, 0);
    assert!(program.len() / 8 < 4096, "the kernel takes 4096 instructions");
    // ld [4]; jeq 0xc000003e, 1, 0; ret kill; ld [0]; jge x32, 0, 1; ret kill
    let begin: Vec<String> =
        program[..48].chunks(8).map(|one| one.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    assert_eq!(
        begin,
        [
            "2000000004000000",
            "150001003e0000c0",
            "0600000000000080",
            "2000000000000000",
            "3500000100000040",
            "0600000000000080"
        ]
    );
    assert_eq!(program[program.len() - 8..], [6, 0, 0, 0, 0, 0, 0xff, 0x7f]);
}

proptest! {
    /// Whatever is called with whatever arguments: the program ends, and gives one of its answers.
    #[test]
    fn every_call_has_an_answer(number in 0_u32..500, arguments in any::<[u64; 6]>(), landlock in 1_u32..8, all in any::<bool>(), devices in any::<bool>()) {
        let network = if all { Network::All } else { Network::None };
        for architecture in MACHINES {
            let filter = Filter::of(architecture, Given { network, landlock, devices });
            let given = execute(&filter.program, number, architecture.audit(), arguments);
            let known = [ALLOW, ASK, error(EPERM), error(EACCES), error(ENOSYS), error(EOPNOTSUPP), error(EAFNOSUPPORT), error(ENOTTY)];
            prop_assert!(known.contains(&given), "{given:#x}");
        }
    }

    /// Conditions are tried in their order, and all of a clause must hold.
    #[test]
    fn clauses_mean_what_they_say(values in any::<[u32; 3]>(), arguments in any::<[u64; 6]>(), mask in any::<u32>()) {
        let conditions = vec![Condition::Masked(0, mask, values[0] & mask), Condition::NotZero(1), Condition::AnyBit(2, values[2])];
        let holds = (arguments[0] as u32 & mask) == values[0] & mask && arguments[1] != 0 && arguments[2] as u32 & values[2] != 0;
        let row = Row {
            call: Syscall::CONNECT,
            clauses: vec![Clause { conditions, action: Action::Ask }],
            otherwise: Action::Error(EPERM),
        };
        let program = assemble(Architecture::X86_64, &[row]);
        let given = execute(&program, 42, Architecture::X86_64.audit(), arguments);
        prop_assert_eq!(given, if holds { ASK } else { error(EPERM) });
    }
}
