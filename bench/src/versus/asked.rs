//! What is asked of a run that bench's own client loads.

use std::path::Path;

use crate::args::load::PaceArgs;
use crate::args::values::Cores;
use crate::args::{Cli, Command};
use crate::driver::Timing;

/// A run of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Words of a command of bench.
    pub words: &'static str,
    /// Its length.
    pub timing: Timing,
    /// How much is put in of the messages that are put in first.
    pub fill_share: f64,
    /// Cores of the client; none: one thread wherever the kernel puts it.
    pub client_cores: Option<&'a Cores>,
    /// What the names of its files begin with.
    pub prefix: &'a Path,
}

impl Asked<'_> {
    /// The command on the brokers of a name server; without one on a broker of its own.
    pub fn command(&self, namesrv: Option<&str>) -> Command {
        let place = namesrv.map(|namesrv| format!(" -n {namesrv}")).unwrap_or_default();
        let cores = self.client_cores.map(|cores| format!(" --client-cores {cores}"));
        command(&format!("{}{place}{}", self.words, cores.unwrap_or_default()))
    }

    /// So much of the messages that are put in first.
    pub fn share_of(&self, messages: u64) -> u64 {
        share_of(messages, self.fill_share)
    }

    /// The pace for the time that is asked for.
    pub fn paced(&self, pace: &PaceArgs) -> PaceArgs {
        let Timing { warm_up, duration } = self.timing;
        PaceArgs { warm_up, duration, ..pace.clone() }
    }
}

/// The command of these words, which are right.
pub fn command(words: &str) -> Command {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    Cli::from_words(&words).unwrap_or_else(|error| error.exit()).command
}

/// So much of a number of messages; not less than 1.
pub fn share_of(messages: u64, share: f64) -> u64 {
    ((messages as f64 * share) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::args::values;

    #[test]
    fn the_command_has_the_place_and_the_cores_of_its_clients() {
        let cores = values::cores("2-3,5").unwrap();
        let timing = Timing { warm_up: Duration::ZERO, duration: Duration::from_secs(1) };
        let (words, fill_share, prefix) = ("consume -c 16 --fill 500k", 0.1, Path::new("run"));
        let asked = Asked { words, timing, fill_share, client_cores: Some(&cores), prefix };
        let Command::Consume(args) = asked.command(Some("127.0.0.1:9876")) else { panic!() };
        assert_eq!(args.load.target.namesrv.as_deref(), Some("127.0.0.1:9876"));
        assert_eq!(args.load.target.client_cores(), [2, 3, 5]);
        assert_eq!(asked.share_of(args.fill.unwrap()), 50_000);
        assert_eq!(asked.paced(&args.load.pace).timing().duration, timing.duration);
        let alone = Asked { client_cores: None, ..asked };
        let Command::Consume(args) = alone.command(None) else { panic!() };
        assert_eq!(
            (args.load.target.namesrv.is_none(), args.load.target.client_cores()),
            (true, &[][..])
        );
    }
}
