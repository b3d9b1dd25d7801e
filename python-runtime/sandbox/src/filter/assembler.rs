//! Assembles the program from rows: one a system call, with clauses over its arguments.
//!
//! ```text
//! the machine is another one, or the call is of the x32 ABI  -> the process is killed
//! the call is newer than this program                        -> as if the kernel did not have it
//! row 1: its number? its clauses, then what it does otherwise
//! row 2: ...
//!                                                             -> allowed
//! ```

use super::{Architecture, ENOSYS, Syscall, syscall};

// `linux/bpf_common.h`
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

// `struct seccomp_data`
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// From here on the numbers of x86-64 are those of its x32 ABI.
const X32: u32 = 0x4000_0000;

/// `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub code: u16,
    pub if_true: u8,
    pub if_false: u8,
    pub operand: u32,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    /// The node is asked.
    Ask,
    /// It fails with this errno.
    Error(u16),
    Kill,
}

/// A property of an argument, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Its lower half is this.
    Is(u32, u32),
    /// Its lower half is this under a mask.
    Masked(u32, u32, u32),
    /// Its lower half has any of these bits.
    AnyBit(u32, u32),
    /// Any of its 64 bits is set.
    NotZero(u32),
}

/// All conditions hold: this is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// A system call. The first clause that holds decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub call: Syscall,
    pub clauses: Vec<Clause>,
    pub otherwise: Action,
}

const fn plain(code: u16, operand: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, operand }
}

const fn jump(code: u16, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code, if_true, if_false, operand }
}

fn give(action: Action) -> Instruction {
    // `SECCOMP_RET_*`
    let value = match action {
        Action::Allow => 0x7fff_0000,
        Action::Ask => 0x7fc0_0000,
        Action::Error(errno) => 0x0005_0000 | u32::from(errno),
        Action::Kill => 0x8000_0000,
    };
    plain(RETURN, value)
}

pub(super) fn assemble(architecture: Architecture, rows: &[Row]) -> Vec<Instruction> {
    let mut program =
        vec![plain(LOAD, MACHINE), jump(IF_EQUAL, architecture.audit(), 1, 0), give(Action::Kill), plain(LOAD, NUMBER)];
    if architecture == Architecture::X86_64 {
        program.extend([jump(IF_AT_LEAST, X32, 0, 1), give(Action::Kill)]);
    }
    program.extend([jump(IF_GREATER, syscall::LAST_KNOWN, 0, 1), give(Action::Error(ENOSYS))]);
    for row in rows {
        let Some(number) = row.call.number(architecture) else { continue };
        let mut block: Vec<Instruction> = row.clauses.iter().flat_map(clause).collect();
        block.push(give(row.otherwise));
        program.push(jump(IF_EQUAL, number, 0, short(block.len())));
        program.extend(block);
    }
    program.push(give(Action::Allow));
    program
}

/// Falls through behind its end where a condition does not hold.
fn clause(clause: &Clause) -> Vec<Instruction> {
    let tests: Vec<Vec<Instruction>> = clause.conditions.iter().copied().map(condition).collect();
    let mut left: usize = tests.iter().map(Vec::len).sum();
    let mut program = Vec::new();
    for mut test in tests {
        left -= test.len();
        // The last one of a test is false where the condition is: past the other tests, and past the return.
        if let Some(last) = test.last_mut() {
            if last.if_false == FAIL {
                last.if_false = short(left + 1);
            } else {
                last.if_true = short(left + 1);
            }
        }
        program.extend(test);
    }
    program.push(give(clause.action));
    program
}

/// Stands for a jump out of the clause, until it is known how far that is.
const FAIL: u8 = u8::MAX;

fn condition(condition: Condition) -> Vec<Instruction> {
    let lower = |argument: u32| plain(LOAD, ARGUMENTS + 8 * argument);
    match condition {
        Condition::Is(argument, value) => vec![lower(argument), jump(IF_EQUAL, value, 0, FAIL)],
        Condition::Masked(argument, mask, value) => {
            vec![lower(argument), plain(AND, mask), jump(IF_EQUAL, value, 0, FAIL)]
        }
        Condition::AnyBit(argument, bits) => vec![lower(argument), jump(IF_ANY_BIT, bits, 0, FAIL)],
        Condition::NotZero(argument) => vec![
            lower(argument),
            // Set: past the test of the upper half.
            jump(IF_EQUAL, 0, 0, 2),
            plain(LOAD, ARGUMENTS + 8 * argument + 4),
            jump(IF_EQUAL, 0, FAIL, 0),
        ],
    }
}

/// Jumps are short: a row has few clauses.
fn short(distance: usize) -> u8 {
    u8::try_from(distance).expect("a row is shorter than the longest jump")
}

/// As the kernel reads it: `struct sock_filter[]`. Both machines are little-endian.
pub(super) fn bytes(program: &[Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 * program.len());
    for instruction in program {
        bytes.extend(instruction.code.to_le_bytes());
        bytes.extend([instruction.if_true, instruction.if_false]);
        bytes.extend(instruction.operand.to_le_bytes());
    }
    bytes
}
