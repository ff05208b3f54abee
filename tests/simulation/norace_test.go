//go:build !race

package simulation

// manySeeds is how many schedules are run unless somebody says otherwise.
const manySeeds = 10_000
