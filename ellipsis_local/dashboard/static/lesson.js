"use strict";
// Before anything is drawn, so that a page does not jump.
if (new URLSearchParams(location.search).has("lesson")) localStorage.lesson = "1";
if (localStorage.lesson) document.documentElement.classList.add("lesson");
