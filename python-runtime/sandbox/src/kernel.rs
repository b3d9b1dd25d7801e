//! What this machine's kernel offers, and what of it a sandbox cannot do without.

use std::io;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::filter::Architecture;
use crate::system;

/// Answers of the kernel; an error says why it does not offer a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The version of Landlock.
    pub landlock: Result<u32, String>,
    /// Seccomp lets another process answer.
    pub notifies: Result<(), String>,
    /// A process may take a connection out of its child.
    pub fetches: Result<(), String>,
    /// `None`: no architecture that the filter knows.
    pub architecture: Option<Architecture>,
}

impl Kernel {
    /// Asks; nothing is changed.
    pub fn gather() -> Self {
        let told = |error: io::Error| error.to_string();
        Self {
            landlock: system::landlock_version().map_err(told),
            notifies: system::seccomp_notifies().map_err(told),
            fetches: fetch().map_err(told),
            architecture: Architecture::of_this_machine(),
        }
    }

    /// What is missing, one sentence a thing; none: workers can be sandboxed.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if let Err(why) = &self.landlock {
            missing.push(format!(
                "Landlock ({why}): it takes Linux 5.13 or later, with \"landlock\" in /sys/kernel/security/lsm (the boot parameter \
                 lsm=), and a container that lets its system calls through"
            ));
        }
        if let Err(why) = &self.notifies {
            missing.push(format!(
                "seccomp with user notifications ({why}): it takes Linux 5.5 or later, and a container that lets seccomp through"
            ));
        }
        if let Err(why) = &self.fetches {
            missing.push(format!(
                "pidfd_getfd ({why}): it takes Linux 5.6 or later, and a container that lets it through (Docker: --cap-add SYS_PTRACE)"
            ));
        }
        if self.architecture.is_none() {
            missing.push("x86-64 or arm64: the filter of system calls knows no other machine".to_owned());
        }
        missing
    }

    /// The version of Landlock; 0: there is none.
    pub fn landlock_version(&self) -> u32 {
        self.landlock.as_ref().copied().unwrap_or(0)
    }
}

/// Takes a descriptor out of this very process.
fn fetch() -> io::Result<()> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let raw = std::os::fd::AsRawFd::as_raw_fd(&own);
    pidfd_getfd(&own, raw, PidfdGetfdFlags::empty())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Kernel {
        Kernel { landlock: Ok(1), notifies: Ok(()), fetches: Ok(()), architecture: Some(Architecture::X86_64) }
    }

    #[test]
    fn a_kernel_with_all_of_it_lacks_nothing() {
        assert_eq!(whole().missing(), Vec::<String>::new());
        assert_eq!(whole().landlock_version(), 1);
    }

    #[test]
    fn each_thing_that_is_missing_is_named_with_the_reason() {
        let refused = || "Operation not permitted".to_owned();
        for (kernel, name) in [
            (Kernel { landlock: Err(refused()), ..whole() }, "Landlock (Operation not permitted)"),
            (
                Kernel { notifies: Err(refused()), ..whole() },
                "seccomp with user notifications (Operation not permitted)",
            ),
            (Kernel { fetches: Err(refused()), ..whole() }, "pidfd_getfd (Operation not permitted)"),
            (Kernel { architecture: None, ..whole() }, "arm64"),
        ] {
            let missing = kernel.missing();
            assert!(missing.len() == 1 && missing[0].contains(name), "{missing:?}");
        }
        let nothing =
            Kernel { landlock: Err(refused()), notifies: Err(refused()), fetches: Err(refused()), architecture: None };
        assert_eq!((nothing.missing().len(), nothing.landlock_version()), (4, 0));
    }

    #[test]
    fn this_machine_answers() {
        let kernel = Kernel::gather();
        let refused = [kernel.landlock.is_err(), kernel.notifies.is_err(), kernel.fetches.is_err()];
        let expected = refused.iter().filter(|refused| **refused).count() + usize::from(kernel.architecture.is_none());
        assert_eq!(kernel.missing().len(), expected);
    }
}
