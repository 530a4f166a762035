//! Commands that a model starts, and that go on while it does other things.

use std::time::Instant;

use lapwing_core::{Command, Heard};

use crate::agent::Returned;
use crate::sample::{Halt, Runner};
use crate::tool::{self, Background};

/// Commands of one sandbox that run at a time.
const RUNNING: usize = 32;

/// Output of a command that is kept between two reads.
const KEPT_BYTES: usize = 64 << 10;

/// Milliseconds in which a command has to take what is written to it.
const WRITE_MS: u64 = 2_000;

/// What was done with a command.
enum Done {
    Started(u64),
    Heard(Heard),
    Written { taken: usize, of: usize },
    Refused(String),
}

impl Runner<'_, '_> {
    /// Does in the sandbox `name` what a model asks for, within `limit_ms`.
    pub(crate) async fn in_background(
        &mut self,
        name: &str,
        job: Background,
        limit_ms: u64,
    ) -> Result<Returned, Halt> {
        let begun = Instant::now();
        let life_ms = self.shared.limits.wall_ms;
        let done = self.serving(name, move |sandbox| {
            Box::pin(async move {
                let background = sandbox.background()?;
                let all = background.list();
                if let Some(id) = job.id()
                    && !all.iter().any(|known| known.number == id)
                {
                    return Ok(Done::Refused(format!("No command was started with the id {id}.")));
                }
                Ok(match job {
                    Background::Start { command } => {
                        let n_running = all.iter().filter(|known| known.status.is_none()).count();
                        if n_running >= RUNNING {
                            let why =
                                format!("{RUNNING} commands run already; stop one of them first.");
                            return Ok(Done::Refused(why));
                        }
                        let command =
                            Command { output_bytes: KEPT_BYTES, ..tool::bash(command, life_ms) };
                        Done::Started(background.spawn(command).await?)
                    }
                    Background::Read { id, wait_ms } => {
                        Done::Heard(background.poll(id, wait_ms.min(limit_ms)).await?)
                    }
                    Background::Write { id, text, end } => {
                        let wait_ms = WRITE_MS.min(limit_ms);
                        let taken = background.feed(id, text.as_bytes(), end, wait_ms).await?;
                        Done::Written { taken, of: text.len() }
                    }
                    Background::Stop { id } => {
                        background.kill(id).await?;
                        Done::Heard(background.poll(id, 0).await?)
                    }
                })
            })
        });
        let done = done.await?;
        let mut returned = match done {
            Done::Started(id) => {
                Returned { text: format!("Started with the id {id}."), ..Returned::default() }
            }
            Done::Heard(heard) => Returned {
                text: tool::show_heard(&heard, life_ms),
                status: heard.status,
                dropped_bytes: heard.output_bytes - heard.output.len() as u64,
                ..Returned::default()
            },
            Done::Written { taken, of } if taken == of => {
                Returned { text: "Written.".to_owned(), ..Returned::default() }
            }
            Done::Written { taken, of } => Returned {
                text: format!(
                    "Only {taken} of {of} bytes were taken: it has ended, closed its input, or does not read it."
                ),
                ..Returned::default()
            },
            Done::Refused(why) => Returned::refused(why),
        };
        returned.ran = true;
        returned.millis = begun.elapsed().as_millis() as u64;
        Ok(returned)
    }
}
