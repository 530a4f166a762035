//! Moves and positions as text, and an opponent that looks two moves ahead at the material alone.

use std::cmp::Reverse;

use cozy_chess::util::{display_uci_move, parse_uci_move};
use cozy_chess::{Board, Color, File, GameStatus, Move, Piece, Rank, Square};

/// Pawns by which the opponent is behind when it gives up.
const GIVES_UP: i32 = 12;

/// Stands for mate, above any material.
const MATE: i32 = 1_000;

/// How a game ended.
pub(super) struct Outcome {
    /// `None`: nobody won.
    pub(super) winner: Option<Color>,
    pub(super) reason: &'static str,
}

/// The position that `text` describes in FEN.
pub(super) fn position(text: &str) -> Result<Board, String> {
    Board::from_fen(text.trim(), false).map_err(|error| error.to_string())
}

pub(super) fn outcome(board: &Board) -> Option<Outcome> {
    match board.status() {
        GameStatus::Ongoing => None,
        GameStatus::Won => {
            Some(Outcome { winner: Some(!board.side_to_move()), reason: "checkmate" })
        }
        GameStatus::Drawn if board.halfmove_clock() >= 100 => {
            Some(Outcome { winner: None, reason: "the fifty-move rule" })
        }
        GameStatus::Drawn => Some(Outcome { winner: None, reason: "stalemate" }),
    }
}

pub(super) fn uci(board: &Board, played: Move) -> String {
    display_uci_move(board, played).to_string()
}

/// The legal move that `text` names, as `e2e4` or `Nf3`.
pub(super) fn read(board: &Board, text: &str) -> Option<Move> {
    let text = text.trim();
    if let Ok(named) = parse_uci_move(board, &text.to_lowercase())
        && board.is_legal(named)
    {
        return Some(named);
    }
    let plain =
        |text: &str| -> String { text.chars().filter(|c| !"x+#!?=-".contains(*c)).collect() };
    let wanted = plain(text).replace('0', "O");
    let mut named = legal(board);
    named.retain(|played| names(board, *played).contains(&wanted));
    match named.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

/// Ways to write a move in algebraic notation, without the signs for captures, checks and promotions.
fn names(board: &Board, played: Move) -> Vec<String> {
    let Some(piece) = board.piece_on(played.from) else { return Vec::new() };
    let castles = board.color_on(played.to) == Some(board.side_to_move());
    if castles {
        let short = played.to.file() > played.from.file();
        return vec![if short { "OO" } else { "OOO" }.to_owned()];
    }
    let letter = |piece: Piece| piece.to_string().to_uppercase();
    let (from, to) = (played.from, played.to);
    let promotion = played.promotion.map(letter).unwrap_or_default();
    if piece == Piece::Pawn {
        let takes = from.file() != to.file();
        let file = if takes { from.file().to_string() } else { String::new() };
        return vec![format!("{file}{to}{promotion}"), format!("{from}{to}{promotion}")];
    }
    let origins =
        [String::new(), from.file().to_string(), from.rank().to_string(), from.to_string()];
    origins.iter().map(|origin| format!("{}{origin}{to}", letter(piece))).collect()
}

/// All legal moves, in an order that depends on the position alone.
fn legal(board: &Board) -> Vec<Move> {
    let mut all = Vec::new();
    board.generate_moves(|moves| {
        all.extend(moves);
        false
    });
    all.sort_by_key(ToString::to_string);
    all
}

/// The move that leaves the most material behind the best reply to it; of equal ones the first.
pub(super) fn best(board: &Board) -> Option<Move> {
    let mine = board.side_to_move();
    let worth = |played: &Move| {
        let mut after = board.clone();
        after.play_unchecked(*played);
        let replies = legal(&after).into_iter().map(|reply| {
            let mut then = after.clone();
            then.play_unchecked(reply);
            if then.status() == GameStatus::Won { -MATE } else { material(&then, mine) }
        });
        replies.min().unwrap_or(if after.status() == GameStatus::Won { MATE } else { 0 })
    };
    // Towards the middle where the material is equal, so that it does not move a rook to and fro.
    let middle = |played: &Move| {
        let off = |at: usize| (2 * at as i32 - 7).abs();
        off(played.to.file() as usize) + off(played.to.rank() as usize)
    };
    legal(board).into_iter().min_by_key(|played| (Reverse(worth(played)), middle(played)))
}

/// Whether the side to move is so far behind that it gives up.
pub(super) fn gives_up(board: &Board) -> bool {
    material(board, board.side_to_move()) <= -GIVES_UP
}

/// How many pawns `side` is ahead.
fn material(board: &Board, side: Color) -> i32 {
    let worth = [
        (Piece::Pawn, 1),
        (Piece::Knight, 3),
        (Piece::Bishop, 3),
        (Piece::Rook, 5),
        (Piece::Queen, 9),
    ];
    let count = |color: Color| -> i32 {
        let of = |piece| board.colored_pieces(color, piece).len() as i32;
        worth.iter().map(|(piece, pawns)| of(*piece) * pawns).sum()
    };
    count(side) - count(!side)
}

/// The board as text, White below.
pub(super) fn drawn(board: &Board) -> String {
    let square = |file: File, rank: Rank| {
        let at = Square::new(file, rank);
        match board.piece_on(at).zip(board.color_on(at)) {
            Some((piece, Color::White)) => piece.to_string().to_uppercase(),
            Some((piece, Color::Black)) => piece.to_string(),
            None => ".".to_owned(),
        }
    };
    let line = |rank: Rank| {
        let squares: Vec<String> = File::ALL.iter().map(|file| square(*file, rank)).collect();
        format!("{rank} {}\n", squares.join(" "))
    };
    let lines: String = Rank::ALL.iter().rev().map(|rank| line(*rank)).collect();
    format!("{lines}  a b c d e f g h\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_at(position: &str, text: &str) -> Option<String> {
        let board = super::position(position).unwrap();
        read(&board, text).map(|played| uci(&board, played))
    }

    #[test]
    fn moves_are_read_in_both_notations() {
        let castle = "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1";
        let pawns = "3r3k/4P3/8/8/8/8/8/4K3 w - - 0 1";
        let knights = "7k/8/8/8/8/2N5/8/K5N1 w - - 0 1";
        for (position, text, expected) in [
            (castle, "O-O", "e1g1"),
            (castle, "0-0-0+", "e1c1"),
            (castle, "e1g1", "e1g1"),
            (castle, "Rxh8+", "h1h8"),
            (pawns, "exd8=Q#", "e7d8q"),
            (pawns, "e8=N", "e7e8n"),
            (pawns, "E7E8R", "e7e8r"),
            (knights, "Nge2", "g1e2"),
            (knights, "N3e2", "c3e2"),
        ] {
            assert_eq!(read_at(position, text).as_deref(), Some(expected), "{text}");
        }
        for text in ["Ne2", "Nc4", "", "e2e4", "résumé"] {
            assert_eq!(read_at(knights, text), None, "{text}");
        }
    }

    #[test]
    fn the_opponent_takes_what_is_free_and_mates_but_not_what_is_defended() {
        let best = |text: &str| {
            let board = position(text).unwrap();
            best(&board).map(|played| uci(&board, played)).unwrap()
        };
        assert_eq!(best("7k/8/8/3q4/8/8/8/K2R4 w - - 0 1"), "d1d5");
        assert_eq!(best("6k1/5ppp/8/8/8/8/q4PPP/R5K1 w - - 0 1"), "a1a2");
        assert_eq!(best("6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1"), "a1a8");
        assert_ne!(best("7k/8/4p3/3p4/8/8/8/K2R4 w - - 0 1"), "d1d5");
    }

    #[test]
    fn it_gives_up_only_far_behind() {
        let gives_up = |text: &str| gives_up(&position(text).unwrap());
        assert!(gives_up("7k/8/8/8/8/8/QR6/K7 b - - 0 1"));
        assert!(!gives_up("7k/8/8/8/8/8/Q7/K7 b - - 0 1"));
        assert!(!gives_up("7k/8/8/8/8/8/QR6/K7 w - - 0 1"));
    }
}
