/** Sentences of a document that give orders to the machine reading it. They are text like any other, but no answer to anybody's question. */

const patterns: readonly RegExp[] = [
  /\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:instructions?|rules?|prompts?|guidelines?|directives?)\b/i,
  /^\W{0,3}(?:attention |dear |note to |hey )?(?:AIs?|LLMs?|AI (?:agents?|models?|assistants?)|language models?|assistants?|chatbots?)\s*[:,]/i,
  /^\W{0,3}(?:SYSTEM|ASSISTANT)\s*:|<\|im_(?:start|end)\|>|\[\/?INST\]|<\/?system>/,
  /\b(?:ignoriere|vergiss|missachte)\b.{0,40}\b(?:anweisung(?:en)?|regeln?|vorgaben?)\b/i,
]

export function givesOrders(sentence: string): boolean {
  return patterns.some((pattern) => pattern.test(sentence))
}

/** Who asks about such orders wants to read them. */
export function asksAboutOrders(question: string): boolean {
  return /\b(?:instructions?|prompts?|injections?|rules?|jailbreaks?|anweisung\w*|regeln?)\b/i.test(question)
}
