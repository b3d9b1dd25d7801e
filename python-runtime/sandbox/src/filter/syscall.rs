//! System calls by their numbers, which are forever.

/// A machine whose numbers are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// amd64.
    X86_64,
    /// arm64.
    Aarch64,
}

impl Architecture {
    /// That of this program.
    pub fn of_this_machine() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else {
            None
        }
    }

    /// `AUDIT_ARCH_*`.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
        }
    }
}

/// The last one of Linux 6.18. What is newer has not been judged.
pub(super) const LAST_KNOWN: u32 = 469;

/// A system call: its number on x86-64 and on arm64, where it exists there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syscall {
    x86_64: Option<u32>,
    aarch64: Option<u32>,
}

const fn on_both(x86_64: u32, aarch64: u32) -> Syscall {
    Syscall { x86_64: Some(x86_64), aarch64: Some(aarch64) }
}

const fn the_same(number: u32) -> Syscall {
    on_both(number, number)
}

const fn x86_only(number: u32) -> Syscall {
    Syscall { x86_64: Some(number), aarch64: None }
}

impl Syscall {
    pub(crate) fn number(self, architecture: Architecture) -> Option<u32> {
        match architecture {
            Architecture::X86_64 => self.x86_64,
            Architecture::Aarch64 => self.aarch64,
        }
    }

    /// Whether a number of this machine is this one.
    pub(crate) fn is(self, number: i32) -> bool {
        let own = Architecture::of_this_machine().and_then(|machine| self.number(machine));
        own.is_some() && own == u32::try_from(number).ok()
    }

    pub(crate) const ACCT: Self = on_both(163, 89);
    pub(crate) const ADD_KEY: Self = on_both(248, 217);
    pub(crate) const ADJTIMEX: Self = on_both(159, 171);
    pub(crate) const BPF: Self = on_both(321, 280);
    pub(crate) const CHMOD: Self = x86_only(90);
    pub(crate) const CHOWN: Self = x86_only(92);
    pub(crate) const CHROOT: Self = on_both(161, 51);
    pub(crate) const CLOCK_ADJTIME: Self = on_both(305, 266);
    pub(crate) const CLOCK_SETTIME: Self = on_both(227, 112);
    pub(crate) const CLONE: Self = on_both(56, 220);
    pub(crate) const CLONE3: Self = the_same(435);
    pub(crate) const CONNECT: Self = on_both(42, 203);
    pub(crate) const DELETE_MODULE: Self = on_both(176, 106);
    pub(crate) const FANOTIFY_INIT: Self = on_both(300, 262);
    pub(crate) const FCHMOD: Self = on_both(91, 52);
    pub(crate) const FCHMODAT: Self = on_both(268, 53);
    pub(crate) const FCHMODAT2: Self = the_same(452);
    pub(crate) const FCHOWN: Self = on_both(93, 55);
    pub(crate) const FCHOWNAT: Self = on_both(260, 54);
    pub(crate) const FILE_SETATTR: Self = the_same(469);
    pub(crate) const FINIT_MODULE: Self = on_both(313, 273);
    pub(crate) const FREMOVEXATTR: Self = on_both(199, 16);
    pub(crate) const FSCONFIG: Self = the_same(431);
    pub(crate) const FSETXATTR: Self = on_both(190, 7);
    pub(crate) const FSMOUNT: Self = the_same(432);
    pub(crate) const FSOPEN: Self = the_same(430);
    pub(crate) const FSPICK: Self = the_same(433);
    pub(crate) const FUTIMESAT: Self = x86_only(261);
    pub(crate) const INIT_MODULE: Self = on_both(175, 105);
    pub(crate) const INOTIFY_INIT: Self = x86_only(253);
    pub(crate) const INOTIFY_INIT1: Self = on_both(294, 26);
    pub(crate) const IO_URING_ENTER: Self = the_same(426);
    pub(crate) const IO_URING_REGISTER: Self = the_same(427);
    pub(crate) const IO_URING_SETUP: Self = the_same(425);
    pub(crate) const IOCTL: Self = on_both(16, 29);
    pub(crate) const IOPERM: Self = x86_only(173);
    pub(crate) const IOPL: Self = x86_only(172);
    pub(crate) const IOPRIO_SET: Self = on_both(251, 30);
    pub(crate) const KCMP: Self = on_both(312, 272);
    pub(crate) const KEXEC_FILE_LOAD: Self = on_both(320, 294);
    pub(crate) const KEXEC_LOAD: Self = on_both(246, 104);
    pub(crate) const KEYCTL: Self = on_both(250, 219);
    pub(crate) const KILL: Self = on_both(62, 129);
    pub(crate) const LCHOWN: Self = x86_only(94);
    pub(crate) const LISTMOUNT: Self = the_same(458);
    pub(crate) const LREMOVEXATTR: Self = on_both(198, 15);
    pub(crate) const LSETXATTR: Self = on_both(189, 6);
    pub(crate) const MIGRATE_PAGES: Self = on_both(256, 238);
    pub(crate) const MODIFY_LDT: Self = x86_only(154);
    pub(crate) const MOUNT: Self = on_both(165, 40);
    pub(crate) const MOUNT_SETATTR: Self = the_same(442);
    pub(crate) const MOVE_MOUNT: Self = the_same(429);
    pub(crate) const MOVE_PAGES: Self = on_both(279, 239);
    pub(crate) const MQ_OPEN: Self = on_both(240, 180);
    pub(crate) const MQ_UNLINK: Self = on_both(241, 181);
    pub(crate) const MSGCTL: Self = on_both(71, 187);
    pub(crate) const MSGGET: Self = on_both(68, 186);
    pub(crate) const MSGRCV: Self = on_both(70, 188);
    pub(crate) const MSGSND: Self = on_both(69, 189);
    pub(crate) const OPEN: Self = x86_only(2);
    pub(crate) const OPEN_BY_HANDLE_AT: Self = on_both(304, 265);
    pub(crate) const OPEN_TREE: Self = the_same(428);
    pub(crate) const OPEN_TREE_ATTR: Self = the_same(467);
    pub(crate) const OPENAT: Self = on_both(257, 56);
    pub(crate) const OPENAT2: Self = the_same(437);
    pub(crate) const PERF_EVENT_OPEN: Self = on_both(298, 241);
    pub(crate) const PERSONALITY: Self = on_both(135, 92);
    pub(crate) const PIDFD_GETFD: Self = the_same(438);
    pub(crate) const PIDFD_SEND_SIGNAL: Self = the_same(424);
    pub(crate) const PIVOT_ROOT: Self = on_both(155, 41);
    pub(crate) const PRLIMIT64: Self = on_both(302, 261);
    pub(crate) const PROCESS_MADVISE: Self = the_same(440);
    pub(crate) const PROCESS_VM_READV: Self = on_both(310, 270);
    pub(crate) const PROCESS_VM_WRITEV: Self = on_both(311, 271);
    pub(crate) const PTRACE: Self = on_both(101, 117);
    pub(crate) const QUOTACTL: Self = on_both(179, 60);
    pub(crate) const QUOTACTL_FD: Self = the_same(443);
    pub(crate) const REBOOT: Self = on_both(169, 142);
    pub(crate) const REMOVEXATTR: Self = on_both(197, 14);
    pub(crate) const REMOVEXATTRAT: Self = the_same(466);
    pub(crate) const REQUEST_KEY: Self = on_both(249, 218);
    pub(crate) const RT_SIGQUEUEINFO: Self = on_both(129, 138);
    pub(crate) const RT_TGSIGQUEUEINFO: Self = on_both(297, 240);
    pub(crate) const SCHED_SETAFFINITY: Self = on_both(203, 122);
    pub(crate) const SCHED_SETATTR: Self = on_both(314, 274);
    pub(crate) const SCHED_SETPARAM: Self = on_both(142, 118);
    pub(crate) const SCHED_SETSCHEDULER: Self = on_both(144, 119);
    pub(crate) const SEMCTL: Self = on_both(66, 191);
    pub(crate) const SEMGET: Self = on_both(64, 190);
    pub(crate) const SEMOP: Self = on_both(65, 193);
    pub(crate) const SEMTIMEDOP: Self = on_both(220, 192);
    pub(crate) const SENDMMSG: Self = on_both(307, 269);
    pub(crate) const SENDMSG: Self = on_both(46, 211);
    pub(crate) const SENDTO: Self = on_both(44, 206);
    pub(crate) const SETDOMAINNAME: Self = on_both(171, 162);
    pub(crate) const SETHOSTNAME: Self = on_both(170, 161);
    pub(crate) const SETNS: Self = on_both(308, 268);
    pub(crate) const SETPRIORITY: Self = on_both(141, 140);
    pub(crate) const SETTIMEOFDAY: Self = on_both(164, 170);
    pub(crate) const SETXATTR: Self = on_both(188, 5);
    pub(crate) const SETXATTRAT: Self = the_same(463);
    pub(crate) const SHMAT: Self = on_both(30, 196);
    pub(crate) const SHMCTL: Self = on_both(31, 195);
    pub(crate) const SHMGET: Self = on_both(29, 194);
    pub(crate) const SOCKET: Self = on_both(41, 198);
    pub(crate) const SOCKETPAIR: Self = on_both(53, 199);
    pub(crate) const STATMOUNT: Self = the_same(457);
    pub(crate) const SWAPOFF: Self = on_both(168, 225);
    pub(crate) const SWAPON: Self = on_both(167, 224);
    pub(crate) const SYSLOG: Self = on_both(103, 116);
    pub(crate) const TGKILL: Self = on_both(234, 131);
    pub(crate) const TKILL: Self = on_both(200, 130);
    pub(crate) const TRUNCATE: Self = on_both(76, 45);
    pub(crate) const UMOUNT2: Self = on_both(166, 39);
    pub(crate) const UNSHARE: Self = on_both(272, 97);
    pub(crate) const USERFAULTFD: Self = on_both(323, 282);
    pub(crate) const UTIME: Self = x86_only(132);
    pub(crate) const UTIMENSAT: Self = on_both(280, 88);
    pub(crate) const UTIMES: Self = x86_only(235);
    pub(crate) const VHANGUP: Self = on_both(153, 58);
}
