#!/usr/bin/env node
// `npx cadre <command>` from a checkout: the same door as `npm run cadre -- <command>`.
process.argv.splice(2, 0, 'cadre')
await import('./bootstrap.mjs')
