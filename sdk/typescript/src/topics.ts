/** Does a dotted topic match a pattern? `*` stands for one word, `#` at the end for the rest, also for none. */
export function matchesTopic(pattern: string, topic: string): boolean {
  const wanted = pattern.split('.')
  const words = topic.split('.')
  for (const [index, part] of wanted.entries()) {
    if (part === '#' && index === wanted.length - 1) return words.length >= index
    if (index >= words.length || (part !== '*' && part !== words[index])) return false
  }
  return wanted.length === words.length
}
