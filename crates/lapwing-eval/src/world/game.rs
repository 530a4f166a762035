//! A game of chess against a simple opponent. The position may lie in a file, which is read again before every move.

mod chess;

use chess::Outcome;
use cozy_chess::{Board, Color};
use lapwing_core::{BoxFuture, Checkpoint, NewFile, Sandbox, SandboxError};
use serde_json::{Value, json};

use super::{Called, Noticed, Part};

const USAGE: &str = "\
usage: game board
       game move M
       game moves
       game resign

M is a move such as e2e4, Nf3, exd5, O-O or e8=Q.";

/// Bytes of the file of the position that are read.
const MAX_STATE: u64 = 64 << 10;

pub(super) struct Game {
    sandbox: String,
    player: Color,
    /// The file that holds the position.
    state: Option<String>,
    /// The position as the moves lead to it, or what is wrong with the one at the start.
    board: Result<Board, SandboxError>,
    /// All moves, in UCI notation.
    moves: Vec<String>,
    outcome: Option<Outcome>,
    /// What happened before the first call.
    pending: Vec<Noticed>,
}

impl Game {
    pub(super) fn new(
        sandbox: String,
        white: bool,
        start: Option<&str>,
        state: Option<&str>,
    ) -> Self {
        let player = if white { Color::White } else { Color::Black };
        let board = start.map_or_else(|| Ok(Board::default()), chess::position);
        let board = board.map_err(|cause| SandboxError::Failed {
            step: "world.game: `start` is no position".to_owned(),
            cause,
        });
        let state = state.map(str::to_owned);
        let (moves, outcome, pending) = (Vec::new(), None, Vec::new());
        let mut game = Self { sandbox, player, state, board, moves, outcome, pending };
        if let Ok(board) = game.board.clone()
            && board.side_to_move() != player
        {
            let mut events = Vec::new();
            game.board = Ok(game.reply(board, &mut events));
            game.pending = events;
        }
        game
    }

    async fn answer(
        &mut self,
        arguments: &[String],
        sandbox: &dyn Sandbox,
    ) -> Result<Called, SandboxError> {
        let mut board = self.board.clone()?;
        let mut events = std::mem::take(&mut self.pending);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let called = match words.as_slice() {
            ["moves"] => Called::said(self.listed()),
            ["board" | "resign"] | ["move", _] => {
                match self.reread(&mut board, &mut events, sandbox).await? {
                    Err(why) => Called::failed(why),
                    Ok(()) if words[0] == "board" => Called::said(self.shown(&board)),
                    Ok(()) if self.outcome.is_some() => Called::failed(self.shown(&board)),
                    Ok(()) if words[0] == "resign" => {
                        self.end(
                            Outcome { winner: Some(!self.player), reason: "resignation" },
                            &mut events,
                        );
                        Called::said(self.shown(&board))
                    }
                    Ok(()) => {
                        let called = self.play(&mut board, words[1], &mut events);
                        self.write(&board, sandbox).await?;
                        called
                    }
                }
            }
            _ => Called::usage(USAGE, arguments),
        };
        self.board = Ok(board);
        Ok(Called { events, ..called })
    }

    /// Takes the position from the file. `Err`: what to tell if that cannot be done.
    async fn reread(
        &mut self,
        board: &mut Board,
        events: &mut Vec<Noticed>,
        sandbox: &dyn Sandbox,
    ) -> Result<Result<(), String>, SandboxError> {
        let Some(path) = &self.state else { return Ok(Ok(())) };
        let bytes = sandbox.get(path, MAX_STATE).await?;
        let found = bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let expected = board.to_string();
        if found.as_ref() == Some(&expected) {
            return Ok(Ok(()));
        }
        let text = found.clone().unwrap_or_default();
        let short: String = text.chars().take(200).collect();
        events.push(event("mismatch", json!({ "expected": expected, "found": short })));
        match chess::position(&text) {
            Ok(position) => {
                *board = position;
                self.outcome = None;
                if let Some(outcome) = chess::outcome(board) {
                    self.end(outcome, events);
                }
                Ok(Ok(()))
            }
            Err(why) => Ok(Err(format!("game: cannot read the position in {path}: {why}"))),
        }
    }

    async fn write(&self, board: &Board, sandbox: &dyn Sandbox) -> Result<(), SandboxError> {
        match &self.state {
            Some(path) => sandbox.put(vec![state_file(path, board)]).await,
            None => Ok(()),
        }
    }

    fn play(&mut self, board: &mut Board, text: &str, events: &mut Vec<Noticed>) -> Called {
        if board.side_to_move() != self.player {
            return Called::failed("game: it is not your turn in this position");
        }
        let Some(played) = chess::read(board, text) else {
            events.push(event("illegal", json!({ "move": text })));
            return Called::failed(format!("game: {text} is not a legal move here"));
        };
        self.moved(board, played, "player", events);
        if self.outcome.is_none() {
            *board = self.reply(board.clone(), events);
        }
        Called::said(self.shown(board))
    }

    /// The position behind the opponent's move.
    fn reply(&mut self, mut board: Board, events: &mut Vec<Noticed>) -> Board {
        if chess::gives_up(&board) {
            self.end(Outcome { winner: Some(self.player), reason: "resignation" }, events);
        } else if let Some(reply) = chess::best(&board) {
            self.moved(&mut board, reply, "opponent", events);
        }
        board
    }

    fn moved(
        &mut self,
        board: &mut Board,
        played: cozy_chess::Move,
        by: &str,
        events: &mut Vec<Noticed>,
    ) {
        let text = chess::uci(board, played);
        board.play_unchecked(played);
        let fields = json!({ "move": text, "by": by, "board": board.to_string() });
        events.push(event("moved", fields));
        self.moves.push(text);
        if let Some(outcome) = chess::outcome(board) {
            self.end(outcome, events);
        }
    }

    fn end(&mut self, outcome: Outcome, events: &mut Vec<Noticed>) {
        let winner = match outcome.winner {
            Some(winner) if winner == self.player => "player",
            Some(_) => "opponent",
            None => "none",
        };
        events.push(event("ended", json!({ "winner": winner, "reason": outcome.reason })));
        self.outcome = Some(outcome);
    }

    /// The board, what the opponent played last, and how it stands.
    fn shown(&self, board: &Board) -> String {
        let stands = match &self.outcome {
            Some(Outcome { winner: Some(Color::White), reason }) => {
                format!("White wins by {reason}.")
            }
            Some(Outcome { winner: Some(Color::Black), reason }) => {
                format!("Black wins by {reason}.")
            }
            Some(Outcome { winner: None, reason }) => format!("Drawn by {reason}."),
            None if board.side_to_move() == Color::White => "White to move.".to_owned(),
            None => "Black to move.".to_owned(),
        };
        let last = self.moves.last().map(|last| format!("Last move: {last}\n")).unwrap_or_default();
        format!("{}\n{last}{stands}\nPosition: {board}\n", chess::drawn(board))
    }

    fn listed(&self) -> String {
        if self.moves.is_empty() {
            return "No moves yet.".to_owned();
        }
        let line = |(index, played): (usize, &String)| format!("{:>3}  {played}\n", index + 1);
        self.moves.iter().enumerate().map(line).collect()
    }
}

fn state_file(path: &str, board: &Board) -> NewFile {
    NewFile { path: path.to_owned(), bytes: format!("{board}\n").into_bytes(), mode: 0o644 }
}

fn event(name: &str, fields: Value) -> Noticed {
    Noticed::new("game", name, fields)
}

impl Part for Game {
    fn sandbox(&self) -> &str {
        &self.sandbox
    }

    fn commands(&self) -> &[&'static str] {
        &["game"]
    }

    fn files(&self) -> Vec<NewFile> {
        let file = self.state.as_ref().zip(self.board.as_ref().ok());
        file.map(|(path, board)| state_file(path, board)).into_iter().collect()
    }

    fn call<'a>(
        &'a mut self,
        call: &'a Checkpoint,
        sandbox: &'a dyn Sandbox,
    ) -> BoxFuture<'a, Result<Called, SandboxError>> {
        Box::pin(self.answer(&call.arguments, sandbox))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Files;
    use super::super::tests::{told, words};
    use super::*;

    const STATE: &str = "/s.fen";

    fn game(white: bool, start: Option<&str>) -> (Game, Files) {
        let game = Game::new("a".to_owned(), white, start, Some(STATE));
        let files = Files::default();
        for file in game.files() {
            files.table().insert(file.path, file.bytes);
        }
        (game, files)
    }

    async fn ask(game: &mut Game, files: &Files, line: &[&str]) -> Called {
        game.answer(&words(line), files).await.unwrap()
    }

    fn names(called: &Called) -> Vec<String> {
        told(called).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn a_move_is_answered_and_the_file_holds_the_new_position() {
        let (mut game, files) = game(true, None);
        let called = ask(&mut game, &files, &["move", "e4"]).await;
        assert_eq!(names(&called), ["moved", "moved"]);
        assert_eq!(called.events[0].fields["move"], "e2e4");
        assert_eq!(called.events[1].fields["by"], "opponent");
        assert_eq!(files.read(STATE).trim(), called.events[1].fields["board"].as_str().unwrap());
        assert!(called.answer.stdout.contains("White to move."), "{called:?}");
        let again = ask(&mut game, &files, &["move", "e4"]).await;
        assert_eq!(told(&again), [r#"illegal {"move":"e4"}"#]);
    }

    #[tokio::test]
    async fn an_edited_file_is_told_and_played_on() {
        let (mut game, files) = game(true, None);
        let edited = "7k/8/8/8/8/8/QR6/K7 w - - 0 1";
        files.write(STATE, edited);
        let called = ask(&mut game, &files, &["move", "Qa8"]).await;
        assert_eq!(names(&called), ["mismatch", "moved", "ended"]);
        assert_eq!(called.events[0].fields["found"], edited);
        assert_eq!(told(&called)[2], r#"ended {"reason":"resignation","winner":"player"}"#);
    }

    #[tokio::test]
    async fn a_file_that_holds_no_position_stops_the_move() {
        let (mut game, files) = game(true, None);
        files.write(STATE, "nonsense");
        let called = ask(&mut game, &files, &["move", "e4"]).await;
        assert_eq!((names(&called), called.answer.code), (vec!["mismatch".to_owned()], 1));
        assert_eq!(files.read(STATE), "nonsense");
        files.table().remove(STATE);
        let called = ask(&mut game, &files, &["board"]).await;
        assert_eq!(called.events[0].fields["found"], "");
    }

    #[tokio::test]
    async fn mate_and_resignation_end_the_game() {
        let (mut game, files) = game_at("6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1");
        let called = ask(&mut game, &files, &["move", "Ra8#"]).await;
        assert_eq!(told(&called)[1], r#"ended {"reason":"checkmate","winner":"player"}"#);
        let called = ask(&mut game, &files, &["move", "Ra7"]).await;
        assert_eq!((called.answer.code, called.events.len()), (1, 0));
        let (mut game, files) = self::game(true, None);
        let called = ask(&mut game, &files, &["resign"]).await;
        assert_eq!(told(&called), [r#"ended {"reason":"resignation","winner":"opponent"}"#]);
    }

    fn game_at(start: &str) -> (Game, Files) {
        game(true, Some(start))
    }

    #[tokio::test]
    async fn the_opponent_begins_when_the_agent_has_black() {
        let (mut game, files) = game(false, None);
        let called = ask(&mut game, &files, &["board"]).await;
        assert_eq!(names(&called), ["moved"]);
        assert!(called.answer.stdout.contains("Black to move."), "{called:?}");
        assert_eq!(names(&ask(&mut game, &files, &["moves"]).await), [""; 0]);
    }

    #[tokio::test]
    async fn a_start_that_is_no_position_is_told() {
        let mut game = Game::new("a".to_owned(), true, Some("8/8 w"), None);
        let error = game.answer(&words(&["board"]), &Files::default()).await.unwrap_err();
        assert!(error.to_string().starts_with("world.game: `start` is no position: "), "{error}");
    }
}
