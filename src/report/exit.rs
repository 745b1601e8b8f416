//! How a command went, as the exit code of its process.

/// The exit codes. `--help` lists them, and so does the guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    Usage,
    Partial,
    Quarantined,
    Transient,
    Interrupted,
    Terminated,
}

impl Exit {
    pub const ALL: [Exit; 8] = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Partial,
        Exit::Quarantined,
        Exit::Transient,
        Exit::Interrupted,
        Exit::Terminated,
    ];

    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Partial => 3,
            Exit::Quarantined => 4,
            // EX_TEMPFAIL of sysexits.h.
            Exit::Transient => 75,
            // 128 and the number of the signal, as a shell shows a process that died of it.
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }

    /// A line of the help.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Failed => {
                "failed; verify, state verify or state repair found something; the report was not written"
            }
            Exit::Usage => "the configuration or the command line is wrong, or --yes is missing",
            Exit::Partial => "some tables are done; others failed or were not started",
            Exit::Quarantined => "done, and rows of a target are in quarantine",
            Exit::Transient => "a transient failure; the same command may succeed later",
            Exit::Interrupted => "Ctrl-C ended the run early",
            Exit::Terminated => "SIGTERM ended the run early",
        }
    }
}
