//go:build race

package simulation

// manySeeds is few: there is nothing here for the race detector to see.
const manySeeds = 500
