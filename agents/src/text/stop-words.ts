/** Words that carry no subject of their own: English, German, French and Spanish function words, folded to lower case without accents. */
const lists = [
  'a an the this that these those here there it its itself he him his himself she her hers they them their theirs themselves we us our ours i me my mine you your yours',
  'and or but nor so yet if then else than as of in on at by to from with into onto upon for about over under between through during within across per via toward towards among amongst against out off up down',
  'is are was were be been being am do does did doing done have has had having will would shall should can could may might must ought let lets',
  'what which who whom whose when where why how not no yes also just too very much many more most such own same other another any some each every all both few several either neither',
  'again once only ever never still already while because since until unless though although however therefore thus hence whether etc eg ie vs versus s t d ll re ve m don isn wasn aren didn doesn hasn hadn won couldn wouldn shouldn',
  'der die das des dem den ein eine einer eines einem einen und oder aber wenn als wie war waren ist sind wird werden wurde wurden worden hat haben hatte hatten sein seine seinen seiner ihr ihre ihren ihrer es sie er wir uns ich mir mich du dir dich',
  'mit von vom zum zur bei im ins am an auf aus nach uber unter zwischen durch gegen fur ohne um zu bis seit auch nur noch schon sehr mehr nicht kein keine keinen was wer wem wen wo wann warum wieso weshalb welche welcher welches dass weil ob so da hier dort man',
  'beim viel viele wieviel wieviele jetzt nun dann dieser diese dieses diesem diesen damit davon dafur darauf darin wurde wird soll sollen kann konnen konnte muss mussen darf also etwa alle allem allen jede jeder jedes gibt es lag liegt jeweils bereits wieder',
  'le la les un une du de et ou mais dans sur avec sans pour par ce cette ces que qui quoi dont est sont etait etaient ont avait il elle ils elles nous vous je au aux en ne pas plus quel quelle quels quelles comment pourquoi quand combien ete etre avoir se sa ses son leur leurs qu sous entre vers chez cet fut',
  'el los las uno unos unas y o pero con sin para por del al es son fue fueron era eran ha han se su sus lo como que cual cuales cuando donde porque muy mas cuanto cuantos cuanta cuantas esta este estos estas hay fue ser sobre entre',
]

const stopWords = new Set(lists.join(' ').split(' '))

/** `word` is folded (see `fold`). One-letter Latin words count as stop words, single digits do not. */
export function isStopWord(word: string): boolean {
  return stopWords.has(word) || (word.length === 1 && word >= 'a' && word <= 'z')
}
