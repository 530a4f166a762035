//! Injections: what a scenario holds ready and delivers in mid-run, each once, when its rule is known to be true.

use lapwing_core::{Act, Delivery, Message, NewFile, Source};

use crate::sample::{Halt, Runner};

/// Injections of a sample that are not delivered yet, by their place in the plan.
pub(crate) struct Ready {
    waiting: Vec<usize>,
    /// User messages that are due: they may not stand between the results of one turn's calls.
    due: Vec<usize>,
}

/// What was delivered before a turn.
#[derive(Default)]
pub(crate) struct Injected {
    pub(crate) anything: bool,
    /// A user message was among it, which the model can answer.
    pub(crate) spoke: bool,
}

impl Ready {
    pub(crate) fn new(n_injections: usize) -> Self {
        Self { waiting: (0..n_injections).collect(), due: Vec::new() }
    }
}

impl Runner<'_, '_> {
    /// Delivers mails and files that are due; user messages wait for the next turn.
    pub(crate) async fn inject_now(&mut self) -> Result<bool, Halt> {
        let mut delivered = false;
        for index in std::mem::take(&mut self.ready.waiting) {
            let injection = &self.plan.injections[index];
            if !self.shared.scenario.is_due(&injection.name, self.log.events(), self.log) {
                self.ready.waiting.push(index);
                continue;
            }
            match &injection.deliver {
                Delivery::User => {
                    self.ready.due.push(index);
                    continue;
                }
                Delivery::Mail => self.deliver_mail(&injection.name, &injection.text)?,
                Delivery::File { sandbox, path } => {
                    self.deliver_file(&injection.name, sandbox, path, &injection.text).await?;
                }
            }
            delivered = true;
        }
        Ok(delivered)
    }

    /// Delivers everything that is due, and tells what it was.
    pub(crate) async fn inject_all(&mut self) -> Result<Injected, Halt> {
        let mut injected = Injected { anything: self.inject_now().await?, ..Injected::default() };
        for index in std::mem::take(&mut self.ready.due) {
            let injection = &self.plan.injections[index];
            self.log.push(Act::Injected {
                name: injection.name.clone(),
                deliver: injection.deliver.clone(),
            });
            self.tell(Message::User { text: injection.text.clone() }, Source::Injection);
            injected = Injected { anything: true, spoke: true };
        }
        Ok(injected)
    }

    fn deliver_mail(&mut self, name: &str, text: &str) -> Result<(), Halt> {
        let Some(noticed) = self.world.deliver(text) else {
            return Err(Halt::scenario(format!("there is no inbox for the injection `{name}`")));
        };
        self.log.push(Act::Injected { name: name.to_owned(), deliver: Delivery::Mail });
        self.emit(vec![noticed]);
        Ok(())
    }

    /// Writes a file. The state before it is taken first, and the file is no change of the model's.
    async fn deliver_file(
        &mut self,
        name: &str,
        sandbox: &str,
        path: &str,
        text: &str,
    ) -> Result<(), Halt> {
        self.checkpoint(sandbox).await?;
        let bytes = text.as_bytes().to_vec();
        let mode = if bytes.starts_with(b"#!") { 0o755 } else { 0o644 };
        let (log, machine) = self.machine(sandbox).await?;
        machine.sandbox.put(vec![NewFile { path: path.to_owned(), bytes, mode }]).await?;
        machine.take_as_given(path, log).await?;
        let deliver = Delivery::File { sandbox: sandbox.to_owned(), path: path.to_owned() };
        self.log.push(Act::Injected { name: name.to_owned(), deliver });
        Ok(())
    }
}
