//! What a terminal shows after what was written to it: as much of ECMA-48 as the full-screen
//! view uses. Colours are passed over.

/// Rows of characters.
pub struct Screen {
    rows: Vec<Vec<char>>,
    at: (usize, usize),
}

impl Screen {
    pub fn new(height: usize, width: usize) -> Self {
        Self { rows: vec![vec![' '; width]; height], at: (0, 0) }
    }

    /// What is shown after all of this.
    pub fn after(text: &str, height: usize, width: usize) -> Self {
        let mut screen = Self::new(height, width);
        screen.write(text);
        screen
    }

    pub fn write(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\x1b' => self.escape(&mut chars),
                '\r' => self.at.1 = 0,
                '\n' => self.at.0 += 1,
                c if c.is_control() => {}
                c => {
                    if let Some(place) = self.rows.get_mut(self.at.0).and_then(|row| row.get_mut(self.at.1)) {
                        *place = c;
                    }
                    self.at.1 += 1;
                }
            }
        }
    }

    fn escape(&mut self, chars: &mut std::str::Chars<'_>) {
        if chars.next() != Some('[') {
            return;
        }
        let mut words = String::new();
        for c in chars.by_ref() {
            if c.is_ascii_alphabetic() {
                return self.control(c, &words);
            }
            words.push(c);
        }
    }

    fn control(&mut self, end: char, words: &str) {
        let mut numbers = words.split(';').map(|word| word.parse::<usize>().ok());
        let mut next = |default| numbers.next().flatten().unwrap_or(default);
        match end {
            'H' | 'f' => self.at = (next(1) - 1, next(1) - 1),
            'G' => self.at.1 = next(1) - 1,
            'J' => self.rows.iter_mut().for_each(|row| row.fill(' ')),
            'K' => {
                if let Some(row) = self.rows.get_mut(self.at.0) {
                    row[self.at.1..].fill(' ');
                }
            }
            'A' => self.at.0 = self.at.0.saturating_sub(next(1)),
            'B' => self.at.0 += next(1),
            'C' => self.at.1 += next(1),
            'D' => self.at.1 = self.at.1.saturating_sub(next(1)),
            _ => {}
        }
    }

    /// Lines without blanks at their ends.
    pub fn text(&self) -> String {
        let line = |row: &Vec<char>| row.iter().collect::<String>().trim_end().to_string() + "\n";
        self.rows.iter().map(line).collect()
    }
}
