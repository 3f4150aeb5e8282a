//! The sums of random trees of services against a computation that looks at the finished trees.

use super::*;
use proptest::prelude::*;

/// A service: the one that it is in, by its number, and what it recorded.
type Service = (Option<usize>, Charge);

fn charge() -> impl Strategy<Value = Charge> {
    let cost = prop_oneof![
        Just(Cost::None),
        Just(Cost::Unknown),
        // Sums of these are exact.
        (0..1_000_u32).prop_map(|quarters| Cost::Usd(f64::from(quarters) / 4.0)),
    ];
    (usage(), any::<bool>(), cost).prop_map(|(usage, seconds_are_integer, cost)| Charge {
        usage,
        seconds_are_integer,
        // What has used nothing costs nothing.
        cost: if usage.is_empty() { Cost::None } else { cost },
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    let count = || prop::option::of(0..1_000_u64);
    (count(), count(), count()).prop_map(|(input_tokens, output_tokens, characters)| Usage {
        input_tokens,
        output_tokens,
        characters,
        audio_seconds: characters.map(|count| count as f64 / 4.0),
        ..Usage::default()
    })
}

/// Services, each in one of those before it or in none, and the order in which they end.
fn services() -> impl Strategy<Value = (Vec<Service>, Vec<usize>)> {
    let service = (any::<prop::sample::Index>(), any::<bool>(), charge());
    prop::collection::vec(service, 1..12)
        .prop_map(|services| {
            let services = services.into_iter().enumerate();
            services
                .map(|(number, (above, is_nested, usage))| {
                    let above = (is_nested && number > 0).then(|| above.index(number));
                    (above, usage)
                })
                .collect::<Vec<_>>()
        })
        .prop_flat_map(|services| {
            let order = Just((0..services.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(services), order)
        })
}

/// The numbers of the services that a service is in.
fn above(services: &[Service], number: usize) -> Vec<usize> {
    std::iter::successors(services[number].0, |above| services[*above].0).collect()
}

type Figure = fn(&Charge) -> Option<f64>;

/// The services whose figure counts.
fn counted(services: &[Service], figure: Figure) -> impl Iterator<Item = &Charge> {
    let counts = move |number: usize| {
        !(0..services.len()).any(|other| {
            above(services, other).contains(&number) && figure(&services[other].1).is_some()
        })
    };
    let charges = services.iter().enumerate();
    charges
        .filter(move |(number, (_, charge))| counts(*number) && figure(charge).is_some())
        .map(|(_, (_, charge))| charge)
}

const AUDIO_SECONDS: Figure = |charge| charge.usage.audio_seconds;

const FIGURES: [Figure; 5] = [
    |charge| charge.usage.input_tokens.map(|count| count as f64),
    |charge| charge.usage.output_tokens.map(|count| count as f64),
    |charge| charge.usage.characters.map(|count| count as f64),
    AUDIO_SECONDS,
    |charge| match charge.cost {
        Cost::Usd(cost) => Some(cost),
        Cost::None | Cost::Unknown => None,
    },
];

/// Whether any service has used something without a price that no service below it has recorded.
fn lacks_a_price(services: &[Service]) -> bool {
    (0..services.len()).any(|number| {
        let below = |other: &usize| above(services, *other).contains(&number);
        let is_recorded_below = |figure: Figure| {
            let mut below = (0..services.len()).filter(below);
            below.any(|other| figure(&services[other].1).is_some())
        };
        let charge = &services[number].1;
        let used = FIGURES
            .into_iter()
            .filter(|figure| figure(charge).is_some());
        charge.cost == Cost::Unknown
            && used.clone().count() > 0
            && !used.into_iter().all(is_recorded_below)
    })
}

proptest! {
    #[test]
    fn figure_counts_once_whatever_the_order_in_which_services_end(
        (services, order) in services()
    ) {
        let mut sums = Sums::default();
        let mut usages: Vec<ServiceUsage> = Vec::new();
        for (above, _) in &services {
            usages.push(ServiceUsage::default());
            if let Some(above) = above {
                usages[*above].expect_below();
            }
        }
        for number in order {
            let mut own = std::mem::take(&mut usages[number]);
            let above = above(&services, number);
            let mut others: Vec<_> = above.iter().map(|at| std::mem::take(&mut usages[*at])).collect();
            sums.add_charge(services[number].1, &mut own, &mut others);
            usages[number] = own;
            for (at, other) in above.into_iter().zip(others) {
                usages[at] = other;
            }
        }
        let total = sums.spent();
        let cost = total.cost_usd.map_or(Cost::None, Cost::Usd);
        let sum = Charge { usage: total.usage, cost, ..Charge::default() };
        for figure in FIGURES {
            let expected: f64 = counted(&services, figure).filter_map(figure).sum();
            prop_assert_eq!(figure(&sum).unwrap_or(0.0), expected);
        }
        prop_assert_eq!(total.cost_is_partial(), lacks_a_price(&services));
        let mut with_seconds = counted(&services, AUDIO_SECONDS);
        prop_assert_eq!(
            total.seconds_are_integer(),
            with_seconds.all(|charge| charge.seconds_are_integer)
        );
    }
}

#[test]
fn latencies_have_a_mean_and_a_maximum_over_the_turns_that_have_one() {
    let mut sums = Sums::default();
    assert_eq!(sums.latency(), None);
    sums.add_turn(true, Some(Duration::from_millis(500)));
    sums.add_turn(false, None);
    sums.add_turn(false, Some(Duration::from_millis(1_500)));
    assert_eq!(sums.latency(), Some((1.0, 1.5)));
    assert_eq!((sums.turns, sums.interruptions), (3, 1));
}
