// Package deploy tests what an administrator does: it installs the programs with
// make, starts them as the systemd units and the compose file say, and runs
// studies through them. The tests need the Docker engine and the image
// lynx-basilisk, and carry the build tag engine.
package deploy
