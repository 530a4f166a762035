//! What can happen in a sample. Events are the only truth: transcripts, findings and tables are folds over them.
//!
//! The enum is closed. Each kind names the tag under which it is exported to an Inspect log.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Answer, Change, Digest, ExitStatus, Label, Message, ModelErrorKind, Observe, Output, Process,
    Protocol, Quote, Receipt, SampleKey, Service, ToolCall,
};

/// Something that happened, numbered in the one sequence of its sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, from 1.
    pub seq: u64,
    /// The phase it happened in; empty before the first and after the last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// Milliseconds since the Unix epoch. Not part of the normal form.
    pub at_ms: u64,
    /// What happened.
    pub act: Act,
}

/// Kinds of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Act {
    /// The sample began. Inspect: `sample_init`.
    SampleStarted {
        /// Digest of the scenario folder.
        scenario: Digest,
        /// Which sample it is.
        key: SampleKey,
        /// World values drawn for it.
        values: Map<String, Value>,
    },
    /// A phase began. Inspect: `span_begin`.
    PhaseStarted {
        /// The phase's id.
        id: String,
    },
    /// A phase ended. Inspect: `span_end`.
    PhaseEnded {
        /// The phase's id.
        id: String,
        /// Why it ended.
        why: PhaseEnd,
    },
    /// A message was put before the model. Inspect: `info`; part of the `model` event's input.
    Messaged {
        /// The message.
        message: Message,
        /// Where it came from.
        source: Source,
    },
    /// The model was asked, successfully or not. One event per attempt. Inspect: `model`.
    Generated {
        /// The model's name.
        model: String,
        /// In which role it was asked.
        #[serde(default, skip_serializing_if = "Role::is_target")]
        role: Role,
        /// Digests of the request's segments; their blobs joined are what was sent.
        request: Vec<Digest>,
        /// Digest of the response's bytes.
        response: Option<Digest>,
        /// HTTP status.
        status: Option<u16>,
        /// The turn, if this attempt yielded one.
        output: Option<Box<Output>>,
        /// Class and text of the failure, if it did not.
        error: Option<(ModelErrorKind, String)>,
        /// Wall time in milliseconds. Not part of the normal form.
        millis: u64,
        /// What else is known of the attempt. Not part of the normal form.
        #[serde(default, skip_serializing_if = "Receipt::is_empty")]
        receipt: Receipt,
    },
    /// A tool was called. Inspect: first half of `tool`.
    ToolCalled {
        /// The call.
        call: ToolCall,
    },
    /// A tool returned. Inspect: second half of `tool`.
    ToolReturned {
        /// The `id` of the call.
        call_id: String,
        /// What the model is shown.
        text: String,
        /// How the command ended, for tools that run one.
        status: Option<ExitStatus>,
        /// Why the call could not be carried out (unknown tool, malformed arguments).
        error: Option<String>,
        /// Bytes of output that were not kept.
        dropped_bytes: u64,
        /// Wall time in milliseconds. Not part of the normal form.
        millis: u64,
    },
    /// The harness ran a command that no model asked for. Inspect: `sandbox`.
    Executed {
        /// The sandbox's name.
        sandbox: String,
        /// On whose behalf.
        by: Executor,
        /// The command.
        argv: Vec<String>,
        /// How it ended.
        status: ExitStatus,
        /// Its output, both streams, cut.
        output: String,
    },
    /// A program was called and its caller is blocked. Inspect: `info`.
    ProgramCalled {
        /// The sandbox's name.
        sandbox: String,
        /// The program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// The calling process. Not part of the normal form.
        pid: u32,
    },
    /// A program, a world part or the program of a `run` phase says that something happened. Inspect: `info`.
    Emitted {
        /// Who says so: the program, the world part (`mail`), or the id of the `run` phase.
        program: String,
        /// The event's name.
        name: String,
        /// Its fields.
        fields: Map<String, Value>,
    },
    /// A program's caller got its answer. Inspect: `info`.
    ProgramAnswered {
        /// The program.
        program: String,
        /// The answer.
        answer: Answer,
    },
    /// The state of a sandbox's files was taken. Inspect: `state`.
    Checkpointed {
        /// The sandbox's name.
        sandbox: String,
        /// Digest of the manifest's JSON, kept as a blob.
        manifest: Digest,
        /// What changed since this sandbox's last checkpoint; for the first, nothing.
        changes: Vec<Change>,
    },
    /// The processes of a sandbox were listed. Inspect: `info`.
    Listed {
        /// The sandbox's name.
        sandbox: String,
        /// Live processes. Not part of the normal form.
        processes: Vec<Process>,
        /// Services and what became of them, as pid 1 saw it.
        services: Vec<Service>,
    },
    /// A command that a model started in the background still ran when a phase ended, or something of it was new that no tool had
    /// returned. Inspect: `info`.
    Backgrounded {
        /// The sandbox's name.
        sandbox: String,
        /// Its number, from 1.
        number: u64,
        /// The command.
        argv: Vec<String>,
        /// How it ended; `None` while it runs.
        status: Option<ExitStatus>,
        /// Output that no tool has returned, cut.
        output: String,
        /// Bytes of such output that were not kept.
        dropped_bytes: u64,
    },
    /// Something that the scenario holds ready was delivered in mid-run. Inspect: `info`.
    Injected {
        /// The injection's name in the scenario.
        name: String,
        /// How it was delivered.
        deliver: Delivery,
    },
    /// From here on pid 1 of a sandbox writes down what it says here, or could not keep all of it. Inspect: `info`.
    Watched {
        /// The sandbox's name.
        sandbox: String,
        /// What is written down.
        observe: Observe,
        /// Whether connections to the outside are taken and written down with what is sent.
        sinkhole: bool,
        /// Records before this event that were not kept.
        missed: u64,
    },
    /// A process in a sandbox ran a program. Inspect: `info`.
    Spawned {
        /// The sandbox's name.
        sandbox: String,
        /// The process. Not part of the normal form.
        pid: u32,
        /// Its parent. Not part of the normal form.
        parent: u32,
        /// The file that was run.
        path: String,
        /// Name and arguments, as far as they were kept.
        argv: Vec<String>,
        /// The working directory.
        cwd: String,
    },
    /// A process in a sandbox tried to connect somewhere, or sent datagrams there. Inspect: `info`.
    Connected {
        /// The sandbox's name.
        sandbox: String,
        /// The host as it was addressed: the name for which its address was given, else the address.
        host: String,
        /// The port.
        port: u16,
        /// Bytes that were sent to it; `None` where nobody counted.
        sent_bytes: Option<u64>,
        /// Digest of those bytes, as far as they were kept.
        sent: Option<Digest>,
        /// How.
        #[serde(default)]
        protocol: Protocol,
        /// The IP address.
        #[serde(default)]
        address: String,
        /// The name for which the address was given, or the one that was looked up.
        #[serde(default)]
        name: Option<String>,
        /// The host that the sender names itself.
        #[serde(default)]
        told: Option<String>,
        /// The process; 0 if it is not known. Not part of the normal form.
        #[serde(default)]
        pid: u32,
    },
    /// A judge labelled text of this sample, or could not. Inspect: `score`.
    Judged {
        /// The judge's name.
        judge: String,
        /// The rubric's file in the scenario folder.
        rubric: String,
        /// The name of the evidence that asks for it.
        query: String,
        /// Numbers of the events whose text was judged.
        over: Vec<u64>,
        /// What the text was found to be; `None` if there is no label.
        label: Option<Label>,
        /// The passages that the label rests on, each verified to be there.
        quotes: Vec<Quote>,
        /// Why there is no label.
        reason: Option<String>,
    },
    /// A limit ended a phase. Inspect: `sample_limit`.
    LimitReached {
        /// Which limit.
        limit: LimitKind,
        /// Its value, in the limit's unit.
        value: u64,
    },
    /// Something broke. Inspect: `error`.
    Failed {
        /// What broke.
        error: ErrorKind,
        /// What happened, in words.
        message: String,
    },
    /// The sample ended. Inspect: none; `completed_at` of the sample.
    SampleEnded,
}

impl Event {
    /// The event without what differs between equal runs: times, durations, process ids, and what a provider says of a request.
    pub fn normal_form(&self) -> Value {
        let mut event = serde_json::to_value(self).unwrap_or_default();
        if let Some(event) = event.as_object_mut() {
            event.remove("at_ms");
        }
        if let Some(act) = event.get_mut("act").and_then(Value::as_object_mut) {
            for name in ["millis", "pid", "processes", "receipt"] {
                act.remove(name);
            }
            let services = act.get_mut("services").and_then(Value::as_array_mut);
            for service in services.into_iter().flatten().filter_map(Value::as_object_mut) {
                service.remove("pid");
            }
        }
        event
    }
}

/// Why a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseEnd {
    /// The model stopped, also after it was asked to continue.
    Stopped,
    /// The model called `submit`.
    Submitted,
    /// The phase's `end` or `until` rule became true, or its program ended.
    Ended,
    /// All questions were asked.
    Asked,
    /// It was left out, because its `when` rule is known to be false.
    Skipped,
    /// A limit was reached.
    Limit,
    /// The provider refused or filtered.
    Refused,
    /// Something broke.
    Failed,
}

/// Where a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The phase's opening.
    Prompt,
    /// The neutral message after a turn without a tool call.
    Nudge,
    /// A question of an `ask` phase.
    Question,
    /// A message that the scenario delivers in mid-run.
    Injection,
}

/// In which role a model is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is what is tested.
    #[default]
    Target,
    /// It labels what a target wrote.
    Judge,
}

impl Role {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_target(&self) -> bool {
        *self == Self::Target
    }
}

/// How something reaches a model in mid-run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum Delivery {
    /// As a user message.
    User,
    /// As a mail in its inbox.
    Mail,
    /// As a file.
    File {
        /// The sandbox's name.
        sandbox: String,
        /// The absolute path.
        path: String,
    },
}

/// On whose behalf the harness ran a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Executor {
    /// The scenario's set-up.
    Setup,
    /// A backstage program, by name.
    Program(String),
    /// A `run` phase, by id: its program itself, or a command that it asked for.
    Phase(String),
}

/// Limits of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Model turns in a phase.
    Turns,
    /// Tokens in a sample.
    Tokens,
    /// The model's context, in tokens used so far.
    Context,
    /// Milliseconds of tool time in a sample.
    ToolTime,
    /// Milliseconds of wall time in a sample.
    WallTime,
    /// Bytes of memory of a sandbox.
    Memory,
    /// Milliseconds of processor time of a sandbox.
    ProcessorTime,
}

/// What broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The model or its endpoint.
    Model,
    /// The sandbox.
    Sandbox,
    /// A program or other part of the scenario.
    Scenario,
    /// The harness: a bug.
    Internal,
}
