//! ioctl(2): what is asked of a file, a socket or a terminal past reading and writing.
//!
//! Landlock looks at requests to devices only. Flags, versions and keys of a file are changed by whoever owns it, though it be opened to
//! read: so what is not known to be needed does not exist. A worker that an operator gives a device gets that device's requests, too,
//! which nobody can list; then all those are refused that file systems are known to have.

use super::assembler::{Action, Clause, Condition, Row};
use super::{ENOTTY, EPERM, Syscall};

/// To type into a terminal, and to paste into a console.
const TYPING: [u32; 2] = [0x5412, 0x541c];

/// What programs ask of terminals, pipes and sockets. None changes what others have.
const NEEDED: &[u32] = &[
    // Terminals: TCGETS, TCSETS, TCSETSW, TCSETSF, TCGETA, TCSBRK, TCXONC, TCFLSH, TCSBRKP.
    0x5401,
    0x5402,
    0x5403,
    0x5404,
    0x5405,
    0x5409,
    0x540a,
    0x540b,
    0x5425,
    // The same as newer C libraries ask: TCGETS2, TCSETS2, TCSETSW2, TCSETSF2.
    0x802c_542a,
    0x402c_542b,
    0x402c_542c,
    0x402c_542d,
    // TIOCSCTTY, TIOCGPGRP, TIOCSPGRP, TIOCOUTQ, TIOCGWINSZ, TIOCSWINSZ, TIOCNOTTY, TIOCGSID, TIOCGEXCL.
    0x540e,
    0x540f,
    0x5410,
    0x5411,
    0x5413,
    0x5414,
    0x5422,
    0x5429,
    0x8004_5440,
    // A pair of them, where an operator lets programs have one: TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER.
    0x8004_5430,
    0x4004_5431,
    0x5441,
    // Every descriptor: FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, FIOASYNC, FIOQSIZE, FIGETBSZ.
    0x541b,
    0x5421,
    0x5450,
    0x5451,
    0x5452,
    0x5460,
    0x2,
    // Sockets: SIOCATMARK, SIOCGSTAMP. Not whom they signal.
    0x8905,
    0x8906,
    // Networks, to be read: SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFDSTADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK,
    // SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFINDEX; SIOCETHTOOL, whose changes take rights that no worker has.
    0x8910,
    0x8912,
    0x8913,
    0x8915,
    0x8917,
    0x8919,
    0x891b,
    0x8921,
    0x8927,
    0x8933,
    0x8946,
    // Copies: FICLONE, FICLONERANGE. They take a descriptor to write to.
    CLONE,
    CLONE_RANGE,
    // How much chance there is: RNDGETENTCNT.
    0x8004_5200,
    FLAGS,
];

/// Of a file, to be read: FS_IOC_GETFLAGS.
const FLAGS: u32 = 0x8008_6601;

const CLONE: u32 = 0x4004_9409;
const CLONE_RANGE: u32 = 0x4020_940d;

/// The second byte of a request says whose it is. These are of file systems: ext4 with encryption and verity, versions, XFS with
/// projects and frozen ones, FAT, NILFS, OCFS2, HFS, btrfs with what is common to all, Ceph, bcachefs, CIFS, F2FS.
const FILE_SYSTEMS: &[u8] = b"fvXrnoh\x94\x97\xbc\xcf\xf5";
/// Of all requests of one kind.
const KIND: u32 = 0xff00;
/// FIBMAP: where a file lies on its disk.
const MAP: u32 = 1;

/// The row of the call. `devices`: some may be written.
pub(super) fn row(devices: bool) -> Row {
    let is = |request: u32, action| Clause { conditions: vec![Condition::Is(1, request)], action };
    let mut clauses: Vec<Clause> = TYPING.iter().map(|request| is(*request, Action::Error(EPERM))).collect();
    if !devices {
        clauses.extend(NEEDED.iter().map(|request| is(*request, Action::Allow)));
        return Row { call: Syscall::IOCTL, clauses, otherwise: Action::Error(ENOTTY) };
    }
    clauses.extend([CLONE, CLONE_RANGE, FLAGS].map(|request| is(request, Action::Allow)));
    clauses.push(is(MAP, Action::Error(ENOTTY)));
    clauses.extend(FILE_SYSTEMS.iter().map(|kind| Clause {
        conditions: vec![Condition::Masked(1, KIND, u32::from(*kind) << 8)],
        action: Action::Error(ENOTTY),
    }));
    Row { call: Syscall::IOCTL, clauses, otherwise: Action::Allow }
}
