//! A machine whose syncs do nothing: the kernel acknowledges them and writes nothing (seccomp), for one process and what it starts.
//! The program is the real one and is not told. With a power cut it must lose acknowledged writes.

use std::path::PathBuf;

/// A filter of system calls: every kind of sync answers 0 without being executed. By perl, which every Debian has: installing a filter
/// is not to be had in safe Rust.
const FILTER: &str = r#"
my %syncs = (x86_64 => [157, 26, 74, 75, 162, 277, 306], aarch64 => [167, 227, 82, 83, 81, 84, 267]);
chomp(my $machine = `uname -m`);
my ($prctl, @syncs) = @{$syncs{$machine} or die "no numbers of system calls for $machine\n"};
my $filter = pack("SCCL", 0x20, 0, 0, 0);
for my $at (0 .. $#syncs) { $filter .= pack("SCCL", 0x15, $#syncs - $at + 1, 0, $syncs[$at]); }
$filter .= pack("SCCL", 0x06, 0, 0, 0x7fff0000) . pack("SCCL", 0x06, 0, 0, 0x00050000);
my $program = pack("S x6 P", length($filter) / 8, $filter);
syscall($prctl, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!\n";
syscall($prctl, 22, 2, unpack("Q", pack("P", $program))) == 0 or die "seccomp: $!\n";
exec(@ARGV) or die "$ARGV[0]: $!\n";
"#;

/// The words that come before a program and its arguments.
pub(crate) fn launcher() -> Vec<PathBuf> {
    ["perl", "-e", FILTER, "--"].map(PathBuf::from).to_vec()
}
