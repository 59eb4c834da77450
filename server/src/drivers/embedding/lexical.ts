/**
 * The offline embedder: a text becomes the signed sum of its hashed features (stemmed words, pairs of neighbouring words and
 * three-letter pieces of words). It knows no meaning, but it bridges what full text cannot: spelling mistakes, compounds, word forms
 * and scripts that write without spaces.
 */
import type { Embedder } from './port.ts'
import { stem } from './stem.ts'

export interface LexicalOptions {
  dimensions?: number
  /** Words that say nothing about the subject; they are left out. Receives a lower-case word without accents. */
  isStopWord: (word: string) => boolean
  /** Lets other work run between slices. */
  pause?: () => Promise<unknown>
}

// Chosen by hand: on SciFact (see search.ts of the knowledge feature) the vectors alone reach an nDCG@10 of 0.475 with them.
const weights = { word: 1, pair: 0.5, piece: 0.35 }
const textsPerSlice = 32
const maxWordLength = 64

const nextTurn = () => new Promise((done) => setImmediate(done))

export function makeLexicalEmbedder({ dimensions = 384, isStopWord, pause = nextTurn }: LexicalOptions): Embedder {
  return {
    id: `lexical-1-${dimensions}`,
    dimensions,
    async embed(texts) {
      const vectors: Float32Array[] = []
      for (const [index, text] of texts.entries()) {
        if (index > 0 && index % textsPerSlice === 0) await pause()
        vectors.push(embedOne(text, dimensions, isStopWord))
      }
      return vectors
    },
  }
}

function embedOne(text: string, dimensions: number, isStopWord: (word: string) => boolean): Float32Array {
  const features = new Map<number, Feature>()
  let previous: string | undefined
  for (const word of wordsOf(text)) {
    if (isStopWord(word)) continue
    const stemmed = stem(word)
    count(features, hash(stemmed, 0x811c9dc5), weights.word)
    if (previous !== undefined) count(features, hash(stemmed, hash(previous, 0x2f0b4a1d)), weights.pair)
    previous = stemmed
    countPieces(features, stemmed)
  }
  const vector = new Float32Array(dimensions)
  for (const [key, { times, weight }] of features) {
    const slot = (key >>> 1) % dimensions
    // A word said ten times matters more than once, but not ten times more.
    const value = weight * (1 + Math.log(times))
    vector[slot] = (vector[slot] as number) + ((key & 1) === 0 ? value : -value)
  }
  return normalise(vector)
}

interface Feature {
  times: number
  weight: number
}

function count(features: Map<number, Feature>, key: number, weight: number): void {
  const feature = features.get(key)
  if (feature) feature.times += 1
  else features.set(key, { times: 1, weight })
}

/** Three-letter pieces with the ends of the word marked. */
function countPieces(features: Map<number, Feature>, word: string): void {
  if (word.length < 3) return
  const marked = `^${word}$`
  for (let at = 0; at + 3 <= marked.length; at++) count(features, hash(marked.slice(at, at + 3), 0x5bd1e995), weights.piece)
}

const scriptWithoutSpaces = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/u

function* wordsOf(text: string): Generator<string> {
  for (const [word] of fold(text).matchAll(/[\p{L}\p{N}]+/gu)) {
    if (scriptWithoutSpaces.test(word)) {
      const letters = Array.from(word)
      if (letters.length === 1) yield word
      for (let at = 0; at + 1 < letters.length; at++) yield `${letters[at]}${letters[at + 1]}`
    } else yield word.length > maxWordLength ? word.slice(0, maxWordLength) : word
  }
}

function fold(text: string): string {
  if (!/[^\p{ASCII}]/u.test(text)) return text.toLowerCase()
  return text
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/\p{M}+/gu, '')
}

/** FNV-1a with a final mix, so that the low bit (the sign) and the rest (the slot) do not depend on each other. */
function hash(text: string, seed: number): number {
  let value = seed | 0
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193)
  value ^= value >>> 15
  value = Math.imul(value, 0x2c1b3c6d)
  value ^= value >>> 12
  return value >>> 0
}

function normalise(vector: Float32Array): Float32Array {
  let sum = 0
  for (const value of vector) sum += value * value
  if (sum === 0) return vector
  const scale = 1 / Math.sqrt(sum)
  for (let index = 0; index < vector.length; index++) vector[index] = (vector[index] as number) * scale
  return vector
}
