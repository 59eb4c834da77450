// Who may import what. The table in ARCHITECTURE.md is `layers` below; a violation names file and line, what it is, and what to do.
//
//   place   where a file stands: its workspace, its layer, and within the server's layers its unit (the port, the feature)
//   edge    one import: `static` (runs), `type` (erased), `dynamic` (runs when reached)
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { test } from 'node:test'

type Kind = 'static' | 'type' | 'dynamic'
type Import = { readonly specifier: string; readonly line: number; readonly kind: Kind }
type Place = { readonly workspace: string; readonly layer: string; readonly unit: string; readonly path: string }
type Edge = { readonly from: Place; readonly to: Place; readonly kind: Kind; readonly specifier: string; readonly line: number }
type Sources = ReadonlyMap<string, string>

// ------------------------------------------------------------------------------------------------------------- reading imports

const comment = String.raw`\/\/[^\n]*|\/\*[\s\S]*?\*\/`
const literal = String.raw`'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|${'`'}(?:\\[\s\S]|[^${'`'}\\])*${'`'}`
const pattern = String.raw`(?<=(?:^|[=(,:;!&|?{}[+>~]|\breturn)\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*`
const opaque = new RegExp(`${comment}|(?<literal>${literal})|${pattern}`, 'g')

/** The source with comments, regular expressions and the insides of strings blanked, so that what looks like an import is one. */
function blank(source: string): string {
  return source.replace(opaque, (text) => {
    const inside = text.replaceAll(/[^\n]/g, ' ')
    return /^['"`]/.test(text) ? `${text[0]}${inside.slice(1, -1)}${text[0]}` : inside
  })
}

const clause = String.raw`(?:[\w$]+\s*,\s*)?(?:[\w$]+|\*(?:\s*as\s+[\w$]+)?|\{[^{}]*\})\s*from\s*|`
const declaration = new RegExp(String.raw`(?<![.\w$])(?:import|export)\b\s*(type\s+)?(?:${clause})(?=['"])`, 'g')
const call = /(?<![.\w$])(?:import|require|require\.resolve|import\.meta\.resolve)\s*\(\s*(?=['"`])/g

function readImports(source: string): Import[] {
  const code = blank(source)
  const imports: Import[] = []
  const add = (at: number, kind: Kind) => {
    const end = code.indexOf(code[at] ?? '', at + 1)
    const specifier = source.slice(at + 1, end)
    if (!specifier.includes('${')) imports.push({ specifier, kind, line: source.slice(0, at).split('\n').length })
  }
  for (const match of code.matchAll(declaration)) add(match.index + match[0].length, match[1] === undefined ? 'static' : 'type')
  for (const match of code.matchAll(call)) {
    const isType =
      /typeof\s+$/.test(code.slice(0, match.index)) ||
      /^['"]\s*['"]\s*\)\s*\.\s*[A-Z]/.test(code.slice(match.index + match[0].length))
    add(match.index + match[0].length, isType ? 'type' : 'dynamic')
  }
  return imports.toSorted((a, b) => a.line - b.line)
}

/** Paths written in strings that lead to a file (`readFile('../../shared/x')`), with their lines. */
function readPaths(source: string): { path: string; line: number }[] {
  return [...source.matchAll(opaque)]
    .filter((match) => /^['"`]\.\.?\//.test(match.groups?.literal ?? ''))
    .map((match) => ({ path: match[0].slice(1, -1), line: source.slice(0, match.index).split('\n').length }))
}

// --------------------------------------------------------------------------------------------------------------------- places

const packages: Readonly<Record<string, string>> = {
  '@cadre/contract': 'contract/src/index.ts',
  '@cadre/sdk': 'sdk/typescript/src/index.ts',
  '@cadre/sdk/outbox-file': 'sdk/typescript/src/outbox-file.ts',
  '@cadre/sdk/outbox-indexeddb': 'sdk/typescript/src/outbox-indexeddb.ts',
  '@cadre/agents': 'agents/src/index.ts',
  '@cadre/dashboard': 'dashboard/src/main.tsx',
  cadre: 'server/src/server.ts',
  'cadre/testing': 'server/src/testing.ts',
}
const workspaces = ['contract', 'server', 'sdk/typescript', 'agents', 'dashboard']
const programFiles = new Set(['server.ts', 'main.ts', 'testing.ts', 'config.ts'])

function placeOf(path: string): Place {
  const workspace = workspaces.find((each) => path.startsWith(`${each}/`)) ?? ''
  const place = (layer: string, unit = ''): Place => ({ workspace, layer, unit, path })
  const [first = '', second = ''] = path.startsWith('server/src/') ? path.slice('server/src/'.length).split('/') : []
  if (path.startsWith('../')) return place('outside')
  if (/\.(test|suite)\.tsx?$/.test(path)) return place('tests')
  if (workspace === 'server' && first !== '') {
    if (first === 'core' || first === 'surfaces') return place(first)
    if (first === 'drivers' || first === 'features') return place(first, second)
    return place(first === 'cli' || programFiles.has(first) ? 'program' : 'unplaced')
  }
  if (!path.startsWith(`${workspace}/src/`)) return place('tools')
  return place(workspace === 'sdk/typescript' ? 'sdk' : workspace)
}

/** What a specifier leads to; a file is looked up as it is written, with its suffix. */
function targetOf(from: string, specifier: string): Place {
  const outside = { workspace: '', unit: '', path: specifier }
  if (specifier.startsWith('.')) return placeOf(posix.normalize(posix.join(posix.dirname(from), specifier)))
  if (specifier.startsWith('node:')) return { ...outside, layer: 'node' }
  const own =
    Object.keys(packages).find((name) => specifier === name) ??
    Object.keys(packages).find((name) => specifier.startsWith(`${name}/`))
  return own === undefined ? { ...outside, layer: 'package' } : placeOf(packages[own] ?? '')
}

// ---------------------------------------------------------------------------------------------------------------------- rules

const isPort = (to: Place) => to.layer === 'drivers' && to.path.endsWith(`drivers/${to.unit}/port.ts`)
const isSql = (to: Place) => to.path === 'server/src/drivers/database/sql.ts'
const isService = (to: Place) => to.layer === 'features' && to.path.endsWith(`features/${to.unit}/service.ts`)
const isShared = (path: string) => /^(?:\.\.\/)+shared(?:\/|$)/.test(path)
const isPackage = (to: Place, ...names: string[]) => to.layer === 'package' && names.includes(to.path)

type Rule = { readonly may: (edge: Edge) => boolean; readonly instead: string }

const layers: Readonly<Record<string, Rule>> = {
  contract: {
    may: ({ to }) => isPackage(to, 'zod'),
    instead: 'the contract imports zod only and runs in a browser; put what needs more into server/src/core or the SDK',
  },
  core: {
    may: ({ to }) =>
      ['contract', 'node'].includes(to.layer) || isPort(to) || isSql(to) || isPackage(to, 'zod', '@opentelemetry/api'),
    instead: 'core knows no feature, surface or driver: take it as a parameter, or put its shape into a drivers/<port>/port.ts',
  },
  drivers: {
    may: ({ from, to, kind }) =>
      ['contract', 'node', 'package'].includes(to.layer) || to.unit === from.unit || (to.layer === 'core' && kind === 'type'),
    instead:
      'a driver imports its own folder, the contract, its library, and from core only types (`import type`): take the rest as a parameter',
  },
  features: {
    may: ({ from, to }) =>
      ['contract', 'core', 'node'].includes(to.layer) ||
      (to.layer === 'features' && to.unit === from.unit) ||
      isService(to) ||
      isPort(to) ||
      isSql(to) ||
      isPackage(to, 'zod'),
    instead:
      "a feature imports contract, core, driver ports, drivers/database/sql.ts and another feature's service.ts: call the service, listen to its event, or put the library behind a port",
  },
  surfaces: {
    may: ({ to }) => ['contract', 'core', 'node', 'package'].includes(to.layer),
    instead: 'a surface translates and ends in core/invoke: call the operation through it',
  },
  program: {
    may: ({ to }) =>
      ['contract', 'core', 'drivers', 'features', 'surfaces', 'sdk', 'agents', 'node', 'package', 'tests'].includes(to.layer),
    instead: 'the program imports the server, the agents and the SDK: tools, tests and the dashboard stay outside',
  },
  sdk: {
    may: ({ to, kind }) => (to.layer === 'contract' && kind === 'type') || (to.layer === 'node' && kind !== 'static'),
    instead: 'the SDK runs in browsers without dependencies: `import type` from the contract, `await import()` for node: modules',
  },
  agents: {
    may: ({ to }) => ['contract', 'sdk', 'node', 'package'].includes(to.layer),
    instead: 'agents use the public SDK and the contract: whatever else they need of the server must become an operation',
  },
  dashboard: {
    may: ({ to, kind }) => ['sdk', 'package'].includes(to.layer) || (to.layer === 'contract' && kind === 'type'),
    instead: 'the dashboard uses the SDK, browser libraries and types of the contract (`import type`)',
  },
}

function checkEdge({ from, to, kind, specifier, line }: Edge): string[] {
  const at = `${from.path}:${line} imports ${specifier}`
  // What lies in the shared folder is reported with every other mention of it, by its path.
  if (to.layer === 'outside')
    return isShared(to.path) ? [] : [`${at}, outside of the repository; copy in what is needed, in our own words`]
  if (from.layer === 'tests' || from.layer === 'tools') return []
  if (specifier.startsWith('.') && from.workspace !== to.workspace) {
    const name = Object.entries(packages).find(([, entry]) => entry.startsWith(`${to.workspace}/`))?.[0]
    return [
      `${at} by a path into another workspace; ${to.workspace === '' ? 'a package imports nothing from the root folders' : `import from '${name}'`}`,
    ]
  }
  const rule = layers[from.layer]
  const isOwn = from.layer === to.layer && from.unit === to.unit && to.layer !== 'package'
  if (rule === undefined || isOwn || rule.may({ from, to, kind, specifier, line })) return []
  return [`${at} (${kind}), which ${from.layer} may not; ${rule.instead}`]
}

function checkFile(place: Place, source: string): string[] {
  const wrong: string[] = []
  const odd = place.path.split('/').find((part) => /(?:^|[-.])(?:utils?|helpers?|managers?)(?:[-.]|$)/i.test(part))
  if (odd !== undefined) wrong.push(`${place.path}:1 is named "${odd}", which says nothing; name it after its one subject`)
  if (place.layer === 'unplaced')
    wrong.push(`${place.path}:1 stands in no layer; move it into core, drivers, features, surfaces or cli`)
  for (const { path, line } of readPaths(source)) {
    const targets = [posix.join(posix.dirname(place.path), path), path].map((each) => posix.normalize(each))
    if (targets.some(isShared)) {
      wrong.push(`${place.path}:${line} reads ${path}, which a clone does not have; keep what is needed in the repository`)
    }
  }
  return wrong
}

/** Each cycle once, as the edges that close it; found by walking depth first and meeting a node that is still open. */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const done = new Set<string>()
  const cycles: string[][] = []
  const walk = (node: string, open: readonly string[]) => {
    const start = open.indexOf(node)
    if (start >= 0) cycles.push([...open.slice(start), node])
    if (start >= 0 || done.has(node)) return
    for (const next of graph.get(node) ?? []) walk(next, [...open, node])
    done.add(node)
  }
  for (const node of graph.keys()) walk(node, [])
  return cycles
}

function checkCycles(edges: readonly Edge[], nodeOf: (place: Place) => string, what: string): string[] {
  const graph = new Map<string, string[]>()
  const first = new Map<string, Edge>()
  for (const edge of edges) {
    const [from, to] = [nodeOf(edge.from), nodeOf(edge.to)]
    if (first.has(`${from} ${to}`)) continue
    first.set(`${from} ${to}`, edge)
    graph.set(from, [...(graph.get(from) ?? []), to])
  }
  return findCycles(graph).map((cycle) => {
    const edge = first.get(`${cycle[0]} ${cycle[1]}`)
    return `${edge?.from.path}:${edge?.line} begins a cycle of ${what}: ${cycle.join(' -> ')}; move what both need into a third, or use an event`
  })
}

/** Every violation in a set of sources, keyed by path from the root with forward slashes. */
function checkArchitecture(sources: Sources): string[] {
  const files = [...sources].map(([path, source]) => ({ from: placeOf(path), source }))
  const edges = files.flatMap(({ from, source }) =>
    readImports(source).map((each): Edge => ({ ...each, from, to: targetOf(from.path, each.specifier) })),
  )
  const inServer = (edge: Edge) => [edge.from, edge.to].every((end) => end.workspace === 'server' && end.layer !== 'tests')
  // A type import is erased and a dynamic one waits, so neither can meet a half-loaded file; between features any kind ties the knot.
  const loading = edges.filter((edge) => edge.kind === 'static' && inServer(edge))
  const across = edges.filter(({ from, to }) => from.layer === 'features' && to.layer === 'features' && from.unit !== to.unit)
  return [
    ...files.flatMap(({ from, source }) => checkFile(from, source)),
    ...edges.flatMap(checkEdge),
    ...checkCycles(loading, (place) => place.path, 'files'),
    ...checkCycles(across, (place) => place.unit, 'features'),
  ]
}

// ---------------------------------------------------------------------------------------------------------------------- tests

const root = join(import.meta.dirname, '..')

function readSources(folder: string): [string, string][] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry): [string, string][] => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return ['node_modules', 'dist', 'peers', 'documents'].includes(entry.name) ? [] : readSources(path)
    return /\.(?:[cm]?ts|tsx|[cm]js)$/.test(entry.name) ? [[path, readFileSync(join(root, path), 'utf8')]] : []
  })
}

test('every import in the repository keeps the rules', () => {
  const sources = new Map([...workspaces, 'test', 'bench', 'examples', 'scripts'].flatMap(readSources))
  assert.ok(sources.has('test/architecture.test.ts') && sources.has('scripts/bootstrap.mjs'), 'the tree was read')
  assert.deepEqual(checkArchitecture(sources), [])
})

test('the entries of the packages are where the rules look for them', () => {
  for (const workspace of workspaces.filter((each) => each !== 'dashboard')) {
    const { name, exports } = JSON.parse(readFileSync(join(root, workspace, 'package.json'), 'utf8'))
    for (const [subpath, target] of Object.entries<string>(exports)) {
      assert.equal(packages[posix.join(name, subpath)], posix.join(workspace, target), `${name} ${subpath}`)
    }
  }
})

test('imports are read in every form, and nothing else is taken for one', () => {
  const source = [
    "import a, { type B } from './1.ts'",
    "import type { C } from './2.ts'",
    'export type { D }',
    "export * as e from './4.ts'",
    'import {',
    '  f,',
    "} from './5.ts'",
    "import './8.ts'",
    "const g = await import('./9.ts')",
    "type H = import('./10.ts').H | typeof import('./10b.ts')",
    "// import x from './no.ts'",
    "/* import x from './no.ts' */ const i = \"import x from './no.ts'\"",
    "const j = /['\"`]/.test(k); const l = { import: 1, from: './no.ts' }",
    "const m = `import n from './no.ts' ${o}`; import(`./${p}.ts`)",
    "export { q } from '@cadre/contract'",
    "const r = require('ws')",
  ].join('\n')
  const found = readImports(source).map(({ specifier, line, kind }) => `${line} ${kind} ${specifier}`)
  const expected = [
    '1 static ./1.ts',
    '2 type ./2.ts',
    '4 static ./4.ts',
    '7 static ./5.ts',
    '8 static ./8.ts',
    '9 dynamic ./9.ts',
  ]
  assert.deepEqual(found, [...expected, '10 type ./10.ts', '10 type ./10b.ts', '15 static @cadre/contract', '16 dynamic ws'])
})

/** What the rules say about one file with one line of source. */
const judge = (path: string, source: string) => checkArchitecture(new Map([[path, source]]))

const allowed: [string, string][] = [
  ['contract/src/tasks.ts', "import { z } from 'zod'"],
  ['server/src/core/invoke.ts', "import type { Database } from '../drivers/database/port.ts'"],
  ['server/src/core/logger.ts', "import { trace } from '@opentelemetry/api'"],
  ['server/src/drivers/database/sqlite.ts', "import type { Clock } from '../../core/clock.ts'"],
  ['server/src/drivers/model/providers.ts', "const { generateText } = await import('ai')"],
  ['server/src/features/tasks/service.ts', "import { findAgent } from '../agents/service.ts'"],
  ['server/src/features/tasks/store.ts', "import { sql } from '../../drivers/database/sql.ts'"],
  ['server/src/surfaces/rest.ts', "import fastify from 'fastify'"],
  ['server/src/cli/demo.ts', "import { startServer } from '../server.ts'"],
  ['server/src/main.ts', "await import('@cadre/agents')"],
  ['server/src/features/tasks/store.test.ts', "import { openStore } from '../agents/store.ts'"],
  ['sdk/typescript/src/client.ts', "import type { Task } from '@cadre/contract'"],
  ['sdk/typescript/src/socket.ts', "await import('node:fs')"],
  ['agents/src/documents/html.ts', "const { Window } = await import('happy-dom')"],
  ['dashboard/src/app.tsx', "import { connect } from '@cadre/sdk'"],
  ['dashboard/src/app.tsx', "import '../src/shared/button.tsx'"],
  ['test/e2e/crash.test.ts', "import { openDatabase } from '../../server/src/drivers/database/sqlite.ts'"],
]

for (const [path, source] of allowed) {
  test(`allowed: ${path}: ${source}`, () => assert.deepEqual(judge(path, source), []))
}

const refused: [path: string, source: string, says: RegExp][] = [
  ['contract/src/tasks.ts', "import { hash } from 'node:crypto'", /zod only/],
  ['contract/src/tasks.ts', "import '../../server/src/core/clock.ts'", /another workspace; import from 'cadre'/],
  ['contract/src/tasks.ts', "import '../../scripts/check.ts'", /nothing from the root folders/],
  ['server/src/core/invoke.ts', "import { open } from '../drivers/database/sqlite.ts'", /core knows no feature/],
  ['server/src/core/invoke.ts', "import type { Task } from '../features/tasks/service.ts'", /core knows no feature/],
  ['server/src/core/http.ts', "import fastify from 'fastify'", /core knows no feature/],
  ['server/src/drivers/database/sqlite.ts', "import { clock } from '../../core/clock.ts'", /import type/],
  ['server/src/drivers/blob/files.ts', "import type { Sql } from '../database/sql.ts'", /its own folder/],
  ['server/src/features/tasks/service.ts', "import { rows } from '../agents/store.ts'", /call the service/],
  ['server/src/features/tasks/service.ts', "export * from 'ws'", /behind a port/],
  ['server/src/features/tasks/store.ts', "await import('../../drivers/database/sqlite.ts')", /driver ports/],
  ['server/src/features/tasks/service.ts', "import '../../surfaces/rest.ts'", /a feature imports/],
  ['server/src/surfaces/rest.ts', "import { create } from '../features/tasks/service.ts'", /ends in core\/invoke/],
  ['server/src/main.ts', "import '@cadre/dashboard'", /stay outside/],
  ['server/src/places.ts', '', /no layer/],
  ['sdk/typescript/src/client.ts', "import { taskSchema } from '@cadre/contract'", /`import type`/],
  ['sdk/typescript/src/client.ts', "import { type Task } from '@cadre/contract'", /`import type`/],
  ['sdk/typescript/src/client.ts', "import { readFile } from 'node:fs/promises'", /await import/],
  ['sdk/typescript/src/client.ts', "await import('ws')", /without dependencies/],
  ['agents/src/researcher.ts', "import type { Server } from 'cadre'", /public SDK/],
  ['agents/src/researcher.ts', "import '../../sdk/typescript/src/client.ts'", /another workspace; import from '@cadre\/sdk'/],
  ['dashboard/src/app.tsx', "import { z } from '@cadre/contract'", /types of the contract/],
  ['dashboard/src/app.tsx', "import { join } from 'node:path'", /browser libraries/],
  ['test/requirements.ts', "import rows from '../../shared/rows.ts'", /a clone does not have/],
  ['server/src/core/invoke.test.ts', "import rows from '../../../../shared/rows.ts'", /a clone does not have/],
  ['test/requirements.ts', "import rows from '../../other/rows.ts'", /outside of the repository/],
  ['bench/run.ts', "readFile('../../shared/mission.md')", /a clone does not have/],
  ['server/src/core/string-utils.ts', '', /"string-utils.ts".*one subject/],
  ['agents/src/helpers/text.ts', '', /"helpers"/],
]

for (const [path, source, says] of refused) {
  test(`refused: ${path}: ${source}`, () => {
    const violations = judge(path, `\n${source}`)
    assert.equal(violations.length, 1, violations.join('\n'))
    assert.match(violations[0] ?? '', says)
    assert.ok(violations[0]?.startsWith(`${path}:${source === '' ? 1 : 2} `), violations[0])
  })
}

test('a cycle of files is reported with its way, one of types is not', () => {
  const cycle = (kind: string) =>
    checkArchitecture(
      new Map([
        ['server/src/core/a.ts', "import { b } from './b.ts'"],
        ['server/src/core/b.ts', "export { c } from './c.ts'"],
        ['server/src/core/c.ts', `import ${kind}{ a } from './a.ts'`],
      ]),
    )
  assert.deepEqual(cycle('type '), [])
  assert.equal(cycle('').length, 1)
  assert.match(
    cycle('')[0] ?? '',
    /^server\/src\/core\/a\.ts:1 .*core\/a\.ts -> .*core\/b\.ts -> .*core\/c\.ts -> .*core\/a\.ts;/,
  )
})

test('a cycle of features is reported even when types alone close it', () => {
  const violations = checkArchitecture(
    new Map([
      ['server/src/features/tasks/service.ts', "import type { A } from '../agents/service.ts'"],
      ['server/src/features/agents/presence.ts', "import { b } from '../tasks/service.ts'"],
    ]),
  )
  assert.equal(violations.length, 1)
  assert.match(violations[0] ?? '', /cycle of features: tasks -> agents -> tasks/)
})
