//! The capture job and the cleanup job. (Documentation: "Change Data Capture Agent Jobs", `sys.sp_cdc_help_jobs`.)

use std::time::Duration;

/// The jobs of a database. There are none before the first table is enabled.
#[derive(Debug, Clone, Default)]
pub struct Jobs {
    pub(super) capture: Option<CaptureJob>,
    pub(super) cleanup: Option<CleanupJob>,
}

#[derive(Debug, Clone)]
pub(super) struct CaptureJob {
    pub is_running: bool,
    pub transactions_max: i32,
    pub scans_max: i32,
    pub is_continuous: bool,
    pub polling_seconds: i64,
    /// The polling interval that a stopped job takes at its next start, instead of the engine's own delay.
    pub polls_as_told: bool,
}

#[derive(Debug, Clone)]
pub(super) struct CleanupJob {
    pub retention_minutes: i64,
    pub threshold: i64,
}

impl Jobs {
    /// Makes the jobs that are not there; whether the capture job is new.
    pub(super) fn make(&mut self) -> bool {
        let is_new = self.capture.is_none();
        self.capture.get_or_insert(CaptureJob {
            is_running: true,
            transactions_max: 500,
            scans_max: 10,
            is_continuous: true,
            polling_seconds: 5,
            polls_as_told: false,
        });
        self.cleanup.get_or_insert(CleanupJob {
            retention_minutes: 4320,
            threshold: 5000,
        });
        is_new
    }

    pub(super) fn is_capturing(&self) -> bool {
        self.capture.as_ref().is_some_and(|job| job.is_running)
    }

    pub(super) fn stop_capturing(&mut self) {
        if let Some(job) = &mut self.capture {
            job.is_running = false;
        }
    }

    /// How long the job waits between two scans, when a caller has changed that.
    pub(super) fn polling_interval(&self) -> Option<Duration> {
        let job = self.capture.as_ref().filter(|job| job.polls_as_told)?;
        u64::try_from(job.polling_seconds)
            .ok()
            .map(Duration::from_secs)
    }
}
