// A search result shows words of the page itself: the theme's buttons and lists of contents are no part of them.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const textOf = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const article = new DOMParser().parseFromString(html, "text/html").querySelector("article.bd-article");
    return textOf(article ? `<div role="main">${article.outerHTML}</div>` : html, anchor);
  };
});
